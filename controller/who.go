package controller

import (
	"encoding/json"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Caller is who sent a request: the principal it is authorized as, and what it says of itself.
type Caller struct {
	Principal string // "User:alice"
	Host      string // address without port
	ClientID  string
	Listener  string
}

// author says who asked for a run of records. It travels in the raft entry's extensions, in the order of the records, never in
// the batch: brokers must not see it.
type author struct {
	Records   int    `json:"n"`
	API       string `json:"api"`
	Principal string `json:"principal,omitempty"`
	ClientID  string `json:"client,omitempty"`
	Host      string `json:"host,omitempty"`
	Begin     int64  `json:"begin,omitempty"` // offset at which the metadata transaction begins that the records are part of
}

// api is what was asked for.
func (op *operation) api() string {
	if op.request == nil {
		return op.name
	}
	return kmsg.NameForKey(op.request.Key())
}

func (op *operation) who() string {
	if op.caller == (Caller{}) {
		return op.api()
	}
	return op.api() + " by " + op.caller.Principal
}

func (op *operation) author(n int) author {
	return author{Records: n, API: op.api(), Principal: op.caller.Principal, ClientID: op.caller.ClientID, Host: op.caller.Host}
}

func encodeAuthors(a []author) []byte {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return b
}
