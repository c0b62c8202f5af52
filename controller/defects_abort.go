//go:build yakt_forget_abort

package controller

const defect = "forget to abort"
