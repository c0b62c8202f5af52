package harness

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Metadata is the answer to GET /get_metadata, as far as tests read it.
type Metadata struct {
	ClusterID    string   `json:"clusterId"`
	ControllerID int32    `json:"controllerId"`
	Offset       int64    `json:"offset"`
	Epoch        int32    `json:"epoch"`
	Voters       []Voter  `json:"voters"`
	Brokers      []Broker `json:"brokers"`
	Topics       []Topic  `json:"topics"`
}

// Voter is one member of the quorum.
type Voter struct {
	VoterID   int32 `json:"voterId"`
	Endpoints []struct {
		Name string `json:"name"`
	} `json:"endpoints"`
}

// Broker is one registered broker.
type Broker struct {
	BrokerID    int32    `json:"brokerId"`
	BrokerEpoch int64    `json:"brokerEpoch"`
	Fenced      bool     `json:"fenced"`
	Rack        string   `json:"rack"`
	LogDirs     []string `json:"logDirs"` // those that are not offline
}

// Topic is one topic with its partitions.
type Topic struct {
	Name       string      `json:"name"`
	TopicID    string      `json:"topicId"`
	Partitions []Partition `json:"partitions"`
}

// Partition is one partition's state.
type Partition struct {
	PartitionID int32    `json:"partitionId"`
	Replicas    []int32  `json:"replicas"`
	ISR         []int32  `json:"isr"`
	Leader      int32    `json:"leader"`
	Directories []string `json:"directories"` // one a replica
}

// Metadata asks for the whole image.
func (y *Yakt) Metadata() (Metadata, error) {
	body, err := y.get("/get_metadata")
	if err != nil {
		return Metadata{}, err
	}
	defer body.Close()
	var m Metadata
	if err := json.NewDecoder(body).Decode(&m); err != nil {
		return Metadata{}, fmt.Errorf("GET /get_metadata: %w", err)
	}
	return m, nil
}

// MustMetadata is Metadata for a server that has to be up.
func (y *Yakt) MustMetadata(t testing.TB) Metadata {
	t.Helper()
	m, err := y.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Topic finds a topic by its name.
func (m Metadata) Topic(name string) (Topic, bool) {
	for _, topic := range m.Topics {
		if topic.Name == name {
			return topic, true
		}
	}
	return Topic{}, false
}

// Broker finds a broker by its id.
func (m Metadata) Broker(id int32) (Broker, bool) {
	for _, b := range m.Brokers {
		if b.BrokerID == id {
			return b, true
		}
	}
	return Broker{}, false
}

// Unfenced tells whether a broker is registered and serves.
func (m Metadata) Unfenced(id int32) bool {
	b, ok := m.Broker(id)
	return ok && !b.Fenced
}
