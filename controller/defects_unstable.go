//go:build yakt_publish_in_transaction

package controller

const defect = "publish in a transaction"
