package apache

import (
	"fmt"
	"slices"
	"strings"
)

// registered is what a broker and a controller have in common.
type registered struct {
	Incarnation string `json:"incarnationId"`
	EndPoints   []struct {
		Name     string `json:"name"`
		Host     string `json:"host"`
		Port     int    `json:"port"`
		Protocol int    `json:"securityProtocol"`
	} `json:"endPoints"`
	Features []struct {
		Name string `json:"name"`
		Min  int    `json:"minSupportedVersion"`
		Max  int    `json:"maxSupportedVersion"`
	} `json:"features"`
}

func (r registered) listeners() string {
	var texts []string
	for _, e := range r.EndPoints {
		texts = append(texts, fmt.Sprintf("Endpoint(listenerName='%s', securityProtocol=%s, host='%s', port=%d)", e.Name,
			[]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}[e.Protocol], e.Host, e.Port))
	}
	slices.Sort(texts)
	return list(texts)
}

func (r registered) features() string {
	var texts []string
	for _, f := range r.Features {
		levels := fmt.Sprintf("%d-%d", f.Min, f.Max)
		if f.Min == f.Max {
			levels = fmt.Sprint(f.Min)
		}
		texts = append(texts, f.Name+": "+levels)
	}
	slices.Sort(texts)
	return "{" + strings.Join(texts, ", ") + "}"
}

// image is the answer to GET /get_metadata with all that MetadataShell shows of it.
type image struct {
	Features    map[string]int `json:"features"`
	Controllers []struct {
		registered
		ID int32 `json:"controllerId"`
	} `json:"controllers"`
	Brokers []struct {
		registered
		ID       int32    `json:"brokerId"`
		Epoch    int64    `json:"brokerEpoch"`
		Fenced   bool     `json:"fenced"`
		Shutdown bool     `json:"inControlledShutdown"`
		Rack     *string  `json:"rack"`
		LogDirs  []string `json:"logDirs"`
	} `json:"brokers"`
	Topics []struct {
		Name       string `json:"name"`
		ID         string `json:"topicId"`
		Partitions []struct {
			ID             int      `json:"partitionId"`
			Leader         int32    `json:"leader"`
			LeaderEpoch    int32    `json:"leaderEpoch"`
			PartitionEpoch int32    `json:"partitionEpoch"`
			Replicas       []int32  `json:"replicas"`
			ISR            []int32  `json:"isr"`
			Adding         []int32  `json:"addingReplicas"`
			Removing       []int32  `json:"removingReplicas"`
			Recovery       int      `json:"leaderRecoveryState"`
			Directories    []string `json:"directories"`
			ELR            []int32  `json:"eligibleLeaderReplicas"`
			LastKnownELR   []int32  `json:"lastKnownElr"`
		} `json:"partitions"`
	} `json:"topics"`
	ProducerIDs struct {
		Next int64 `json:"nextProducerId"`
	} `json:"producerIds"`
	Configs []struct {
		Type   int               `json:"resourceType"`
		Name   string            `json:"resourceName"`
		Values map[string]string `json:"configs"`
	} `json:"configs"`
}

// tree is the image as MetadataShell's tree: what stands at each path. It is for a cluster at the newest metadata.version
// that has no ACLs, quotas, SCRAM credentials and tokens.
func (m image) tree() map[string]string {
	t := map[string]string{
		"image/features/metadataVersion":   "Optional[4.3-IV0]",
		"image/producerIds/nextProducerId": fmt.Sprint(m.ProducerIDs.Next),
	}
	for name, level := range m.Features {
		if name != "metadata.version" && name != "kraft.version" { // the latter is in control records, which the shell leaves out
			t["image/features/finalized_"+name] = fmt.Sprint(level)
		}
	}
	for _, c := range m.Controllers {
		t[fmt.Sprintf("image/cluster/controllers/%d", c.ID)] = fmt.Sprintf("ControllerRegistration(id=%d, incarnationId=%s, zkMigrationReady=false, listeners=%s, supportedFeatures=%s)",
			c.ID, c.Incarnation, c.listeners(), c.features())
	}
	for _, b := range m.Brokers {
		rack := "Optional.empty"
		if b.Rack != nil {
			rack = "Optional[" + *b.Rack + "]"
		}
		t[fmt.Sprintf("image/cluster/brokers/%d", b.ID)] = fmt.Sprintf("BrokerRegistration(id=%d, epoch=%d, incarnationId=%s, listeners=%s, supportedFeatures=%s, "+
			"rack=%s, fenced=%v, inControlledShutdown=%v, isMigratingZkBroker=false, directories=%s, cordonedDirectories=null)",
			b.ID, b.Epoch, b.Incarnation, b.listeners(), b.features(), rack, b.Fenced, b.Shutdown, list(b.LogDirs))
	}
	for _, topic := range m.Topics {
		leaves := map[string]string{"id": topic.ID, "name": topic.Name}
		for _, p := range topic.Partitions {
			leaves[fmt.Sprint(p.ID)] = fmt.Sprintf("PartitionRegistration(replicas=%s, directories=%s, isr=%s, removingReplicas=%s, "+
				"addingReplicas=%s, elr=%s, lastKnownElr=%s, leader=%d, leaderRecoveryState=%s, leaderEpoch=%d, partitionEpoch=%d)",
				list(p.Replicas), list(p.Directories), list(p.ISR), list(p.Removing), list(p.Adding), list(p.ELR), list(p.LastKnownELR), p.Leader,
				[]string{"RECOVERED", "RECOVERING"}[p.Recovery], p.LeaderEpoch, p.PartitionEpoch)
		}
		for name, text := range leaves {
			t["image/topics/byId/"+topic.ID+"/"+name], t["image/topics/byName/"+topic.Name+"/"+name] = text, text
		}
	}
	for _, c := range m.Configs {
		resource := map[int]string{2: "TOPIC", 4: "BROKER"}[c.Type]
		if c.Name != "" {
			resource += ":" + c.Name
		}
		for key, value := range c.Values {
			t["image/configs/"+resource+"/"+key] = value
		}
	}
	return t
}

// list is how Java prints one.
func list[T any](all []T) string {
	var texts []string
	for _, v := range all {
		texts = append(texts, fmt.Sprint(v))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
