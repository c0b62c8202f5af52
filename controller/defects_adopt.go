//go:build yakt_adopt_without_identity

package controller

const defect = "adopt without identity"
