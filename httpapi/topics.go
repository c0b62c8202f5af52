package httpapi

import (
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/controller/plan"
	"yakt/records"
)

type topicJSON struct {
	Name       string          `json:"name"`
	TopicID    records.UUID    `json:"topicId"`
	Partitions []partitionJSON `json:"partitions"`
}

type partitionJSON struct {
	PartitionID            int32          `json:"partitionId"`
	Leader                 int32          `json:"leader"`
	LeaderEpoch            int32          `json:"leaderEpoch"`
	PartitionEpoch         int32          `json:"partitionEpoch"`
	Replicas               []int32        `json:"replicas"`
	ISR                    []int32        `json:"isr"`
	AddingReplicas         []int32        `json:"addingReplicas"`
	RemovingReplicas       []int32        `json:"removingReplicas"`
	LeaderRecoveryState    int8           `json:"leaderRecoveryState"`
	Directories            []records.UUID `json:"directories"`
	EligibleLeaderReplicas []int32        `json:"eligibleLeaderReplicas"`
	LastKnownELR           []int32        `json:"lastKnownElr"`
}

func toTopic(t *image.Topic) topicJSON {
	j := topicJSON{t.Name, t.ID, make([]partitionJSON, 0, t.NumPartitions())}
	for id, p := range t.Partitions() {
		j.Partitions = append(j.Partitions, toPartition(id, &p))
	}
	return j
}

func toPartition(id int32, p *image.Partition) partitionJSON {
	return partitionJSON{
		PartitionID: id, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch,
		Replicas: orEmpty(p.Replicas), ISR: orEmpty(p.ISR), AddingReplicas: orEmpty(p.Adding), RemovingReplicas: orEmpty(p.Removing),
		LeaderRecoveryState: p.RecoveryState, Directories: orEmpty(p.Directories),
		EligibleLeaderReplicas: orEmpty(p.ELR), LastKnownELR: orEmpty(p.LastKnownELR),
	}
}

// topicPartitionJSON is a partition that stands outside of its topic.
type topicPartitionJSON struct {
	TopicName string       `json:"topicName"`
	TopicID   records.UUID `json:"topicId"`
	partitionJSON
}

// getTopic answers with one topic and its partitions.
func (s *Server) getTopic(w http.ResponseWriter, r *http.Request) error {
	t, p := topicNamed(s.config.Controller.Image(), parameter(r, "topic_name"))
	if p != nil {
		return p
	}
	writeJSON(w, http.StatusOK, toTopic(t))
	return nil
}

// getPartitions answers with the partitions of all topics, or of one.
func (s *Server) getPartitions(w http.ResponseWriter, r *http.Request) error {
	img := s.config.Controller.Image()
	topics := img.Topics()
	if query := r.URL.Query(); query.Has("topic") {
		t, p := topicNamed(img, query.Get("topic"))
		if p != nil {
			return p
		}
		topics = slices.Values([]*image.Topic{t})
	}
	stream(w, func(o *objectWriter) {
		o.field("offset", img.EndOffset())
		list(o, "partitions", partitions(topics))
	})
	return nil
}

func topicNamed(img *image.Image, name string) (*image.Topic, *problem) {
	t, ok := img.TopicByName(name)
	if !ok {
		return nil, kafkaProblem(kerr.UnknownTopicOrPartition, fmt.Sprintf("There is no topic %s.", quoted(name)))
	}
	return t, nil
}

func partitions(topics iter.Seq[*image.Topic]) iter.Seq[topicPartitionJSON] {
	return func(yield func(topicPartitionJSON) bool) {
		for t := range topics {
			for id, p := range t.Partitions() {
				if !yield(topicPartitionJSON{t.Name, t.ID, toPartition(id, &p)}) {
					return
				}
			}
		}
	}
}

// createTopicVersion is the newest CreateTopics, which answers with the topic's id.
const createTopicVersion = 7

// createTopic is CreateTopics for one topic. What is left out is the controller's default, as in Kafka.
func (s *Server) createTopic(r *changeRequest) (any, error) {
	var body struct {
		Name              string  `json:"name"`
		NumPartitions     *int32  `json:"numPartitions"`
		ReplicationFactor *int16  `json:"replicationFactor"`
		Configs           textMap `json:"configs"`
	}
	if p := parseBody(r.body, &body); p != nil {
		return nil, p
	}
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = body.Name, -1, -1
	if body.NumPartitions != nil {
		topic.NumPartitions = *body.NumPartitions
	}
	if body.ReplicationFactor != nil {
		topic.ReplicationFactor = *body.ReplicationFactor
	}
	for _, name := range slices.Sorted(maps.Keys(body.Configs)) {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = name, kmsg.StringPtr(body.Configs[name])
		topic.Configs = append(topic.Configs, config)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(createTopicVersion)
	req.TimeoutMillis = int32(s.config.AnswerTimeout.Milliseconds())
	req.Topics = append(req.Topics, topic)
	resp, err := s.config.Controller.Handle(r.ctx, r.from, req)
	if err != nil {
		return nil, err
	}
	created := resp.(*kmsg.CreateTopicsResponse).Topics[0]
	if e := kerr.TypedErrorForCode(created.ErrorCode); e != nil {
		message := ""
		if created.ErrorMessage != nil {
			message = *created.ErrorMessage
		}
		return nil, kafkaProblem(e, message)
	}
	r.created = true
	return struct {
		Name              string       `json:"name"`
		TopicID           records.UUID `json:"topicId"`
		NumPartitions     int32        `json:"numPartitions"`
		ReplicationFactor int16        `json:"replicationFactor"`
		Offset            int64        `json:"offset"`
	}{created.Topic, created.TopicID, created.NumPartitions, created.ReplicationFactor, s.config.Controller.Image().EndOffset()}, nil
}

// createPartition adds the next partition to a topic.
func (s *Server) createPartition(r *changeRequest) (any, error) {
	var body struct {
		TopicName   *string       `json:"topicName"`
		TopicID     *records.UUID `json:"topicId"`
		PartitionID *int32        `json:"partitionId"`
		Replicas    idList        `json:"replicas"`
	}
	if p := parseBody(r.body, &body); p != nil {
		return nil, p
	}
	partition := plan.NewPartition{PartitionID: body.PartitionID, Replicas: body.Replicas}
	if body.TopicName != nil {
		partition.TopicName = *body.TopicName
	}
	if body.TopicID != nil {
		if *body.TopicID == records.ZeroUUID {
			return nil, badRequest("The field topicId is zero, and no topic's id is: leave it out, or give the topic's.")
		}
		partition.TopicID = *body.TopicID
	}
	a, err := s.config.Controller.CreatePartition(r.ctx, r.from, partition)
	r.created = true
	return struct {
		TopicID     records.UUID `json:"topicId"`
		PartitionID int32        `json:"partitionId"`
		Offset      int64        `json:"offset"`
	}{a.TopicID, a.PartitionID, a.Offset}, refused(a, err)
}
