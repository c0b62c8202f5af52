package linear

import (
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
	"yakt/integration/linear/model"
)

// request is an operation as Kafka has it. A broker's process has its id for a directory, too.
func request(clusterID string, in model.Input) kmsg.Request {
	switch in.Kind {
	case model.CreateTopic, model.ValidateTopic:
		req := kmsg.NewPtrCreateTopicsRequest()
		req.SetVersion(7)
		req.ValidateOnly = in.Kind == model.ValidateTopic
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = in.Object.Name, in.Partitions, 1
		for name, value := range in.Configs {
			topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: value})
		}
		req.Topics = append(req.Topics, topic)
		return req
	case model.DeleteTopic:
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.SetVersion(6)
		topic := kmsg.NewDeleteTopicsRequestTopic()
		if topic.TopicID = in.ID; in.ID == [16]byte{} {
			topic.Topic = kmsg.StringPtr(in.Object.Name)
		}
		req.Topics = append(req.Topics, topic)
		return req
	case model.GrowTopic:
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.SetVersion(3)
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = in.Object.Name, in.Partitions
		req.Topics = append(req.Topics, topic)
		return req
	case model.SetConfigs:
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.SetVersion(1)
		resource := kmsg.NewIncrementalAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, in.Object.Name
		for name, value := range in.Configs {
			op := kmsg.IncrementalAlterConfigOpSet
			if value == nil {
				op = kmsg.IncrementalAlterConfigOpDelete
			}
			resource.Configs = append(resource.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: name, Op: op, Value: value})
		}
		req.Resources = append(req.Resources, resource)
		return req
	case model.RegisterBroker:
		id := brokerID(in.Object)
		return harness.Registration(clusterID, id, "127.0.0.1:9092", in.ID, in.ID)
	case model.UnregisterBroker:
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = brokerID(in.Object)
		return req
	case model.Heartbeat:
		req := kmsg.NewPtrBrokerHeartbeatRequest()
		req.SetVersion(1)
		req.BrokerID, req.BrokerEpoch, req.WantFence = brokerID(in.Object), in.Epoch, true
		return req
	}
	panic(fmt.Sprintf("no request for %v", in.Kind))
}

// answer is what a response says of an operation.
func answer(resp kmsg.Response) model.Output {
	switch r := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		return outcome(r.Topics[0].ErrorCode, model.Output{ID: r.Topics[0].TopicID})
	case *kmsg.DeleteTopicsResponse:
		return outcome(r.Topics[0].ErrorCode, model.Output{ID: r.Topics[0].TopicID})
	case *kmsg.CreatePartitionsResponse:
		return outcome(r.Topics[0].ErrorCode, model.Output{})
	case *kmsg.IncrementalAlterConfigsResponse:
		return outcome(r.Resources[0].ErrorCode, model.Output{})
	case *kmsg.BrokerRegistrationResponse:
		return outcome(r.ErrorCode, model.Output{Epoch: r.BrokerEpoch})
	case *kmsg.UnregisterBrokerResponse:
		return outcome(r.ErrorCode, model.Output{})
	case *kmsg.BrokerHeartbeatResponse:
		return outcome(r.ErrorCode, model.Output{})
	case *kmsg.AllocateProducerIDsResponse:
		return outcome(r.ErrorCode, model.Output{First: r.ProducerIDStart, Count: int64(r.ProducerIDLen)})
	}
	panic(fmt.Sprintf("no answer in %T", resp))
}

// outcome says what is known after an answer. NOT_CONTROLLER leaves everything open: a follower says it of what it never
// looked at, and a leader on its way out, in the same words, of what it has proposed and the next leader may still
// commit. REQUEST_TIMED_OUT is Kafka's way to say that nothing is known. All other errors were decided on, and nothing was done.
func outcome(code int16, done model.Output) model.Output {
	switch code {
	case 0:
		return done
	case kerr.NotController.Code, kerr.RequestTimedOut.Code:
		return model.Output{Unknown: true}
	}
	return model.Output{Code: code}
}

// expected are the errors that clients provoke, or that are so by another's doing.
var expected = map[int16]bool{
	0:                                     true,
	kerr.TopicAlreadyExists.Code:          true,
	kerr.UnknownTopicOrPartition.Code:     true,
	kerr.UnknownTopicID.Code:              true,
	kerr.InvalidPartitions.Code:           true,
	kerr.StaleBrokerEpoch.Code:            true,
	kerr.DuplicateBrokerRegistration.Code: true,
	kerr.BrokerIDNotRegistered.Code:       true,
}

func brokerID(o model.Object) int32 {
	id, err := strconv.ParseInt(o.Name, 10, 32)
	if err != nil {
		panic(err)
	}
	return int32(id)
}
