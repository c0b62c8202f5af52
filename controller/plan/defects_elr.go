//go:build yakt_forget_elr

package plan

const forgetELR = true
