//go:build yakt_publish_before_commit

package controller

const defect = "publish before commit"
