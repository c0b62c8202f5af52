package plan

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Refusal is a Kafka error a plan answers with, and what to tell the user about it. Refusing is ordinary: nothing is
// written for the refused part, nothing is logged as an error. A nil *Refusal means that nothing is wrong; keep it typed,
// since a nil *Refusal in an error interface is not a nil error.
type Refusal struct {
	Err     *kerr.Error
	Message string // a sentence that tells the user what to do next
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Message == "" {
		return r.Err.Message
	}
	return r.Err.Message + ": " + r.Message
}

// refuse makes a Refusal from an error of Kafka's and a message.
func refuse(e *kerr.Error, format string, a ...any) *Refusal {
	return &Refusal{Err: e, Message: fmt.Sprintf(format, a...)}
}
