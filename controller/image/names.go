package image

import (
	"fmt"
	"strings"
)

// Names of the topics that Kafka keeps for itself.
const (
	MetadataTopic        = "__cluster_metadata" // the metadata log: never a topic of the image
	OffsetsTopic         = "__consumer_offsets"
	TransactionsTopic    = "__transaction_state"
	ShareGroupStateTopic = "__share_group_state"
)

// InternalTopic says whether clients are to be told that the topic is Kafka's own.
func InternalTopic(name string) bool {
	return name == OffsetsTopic || name == TransactionsTopic || name == ShareGroupStateTopic
}

// maxTopicName leaves room for "-<partition>" in the name of a directory.
const maxTopicName = 249

// CheckTopicName returns an error that says what is wrong with a topic's name, nil when nothing is.
// It does not repeat a name that is too long to be repeated.
func CheckTopicName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("it is empty")
	case name == "." || name == "..":
		return fmt.Errorf("%q would name a directory", name)
	case len(name) > maxTopicName:
		return fmt.Errorf("it has %d bytes; at most %d are allowed", len(name), maxTopicName)
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return !topicRune(r) }); i >= 0 {
		return fmt.Errorf("%q has characters other than ASCII letters, digits, '.', '_' and '-'", name)
	}
	return nil
}

func topicRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}
