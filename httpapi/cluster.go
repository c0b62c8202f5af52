package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strings"

	"yakt/controller/image"
	"yakt/records"
)

// The JSON of GET /get_metadata has one section for every part of the image, and uses the field names of the records in
// KIP-746 and its successors. Lists are in the image's order, which is fixed, so equal images give equal documents.

type brokerJSON struct {
	BrokerID             int32          `json:"brokerId"`
	BrokerEpoch          int64          `json:"brokerEpoch"`
	IncarnationID        records.UUID   `json:"incarnationId"`
	Fenced               bool           `json:"fenced"`
	InControlledShutdown bool           `json:"inControlledShutdown"`
	Rack                 *string        `json:"rack"`
	EndPoints            []endpointJSON `json:"endPoints"`
	Features             []featureRange `json:"features"`
	LogDirs              []records.UUID `json:"logDirs"`
	CordonedLogDirs      []records.UUID `json:"cordonedLogDirs"` // null: the broker has not told yet
}

type endpointJSON struct {
	Name             string `json:"name"`
	Host             string `json:"host"`
	Port             uint16 `json:"port"`
	SecurityProtocol int16  `json:"securityProtocol"`
}

type featureRange struct {
	Name                string `json:"name"`
	MinSupportedVersion int16  `json:"minSupportedVersion"`
	MaxSupportedVersion int16  `json:"maxSupportedVersion"`
}

type controllerJSON struct {
	ControllerID  int32          `json:"controllerId"`
	IncarnationID records.UUID   `json:"incarnationId"`
	EndPoints     []endpointJSON `json:"endPoints"`
	Features      []featureRange `json:"features"`
}

type voterJSON struct {
	VoterID          int32               `json:"voterId"`
	VoterDirectoryID records.UUID        `json:"voterDirectoryId"`
	Endpoints        []voterEndpointJSON `json:"endpoints"`
}

type voterEndpointJSON struct {
	Name string `json:"name"`
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

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

type producerIDsJSON struct {
	NextProducerID int64               `json:"nextProducerId"`
	Blocks         []producerBlockJSON `json:"blocks"`
}

type producerBlockJSON struct {
	BrokerID        int32 `json:"brokerId"`
	ProducerIDStart int64 `json:"producerIdStart"`
	ProducerIDLen   int64 `json:"producerIdLen"`
}

type configJSON struct {
	ResourceType int8              `json:"resourceType"`
	ResourceName string            `json:"resourceName"`
	Configs      map[string]string `json:"configs"`
}

type aclJSON struct {
	ID             records.UUID `json:"id"`
	ResourceType   int8         `json:"resourceType"`
	ResourceName   string       `json:"resourceName"`
	PatternType    int8         `json:"patternType"`
	Principal      string       `json:"principal"`
	Host           string       `json:"host"`
	Operation      int8         `json:"operation"`
	PermissionType int8         `json:"permissionType"`
}

type quotaJSON struct {
	Entity []quotaEntityJSON  `json:"entity"`
	Quotas map[string]float64 `json:"quotas"`
}

type quotaEntityJSON struct {
	EntityType string  `json:"entityType"`
	EntityName *string `json:"entityName"` // null: the default entity
}

// scramJSON says that a credential exists. Salt and keys never leave by HTTP.
type scramJSON struct {
	Name       string `json:"name"`
	Mechanism  int8   `json:"mechanism"`
	Iterations int32  `json:"iterations"`
}

type tokenJSON struct {
	TokenID             string   `json:"tokenId"`
	Owner               string   `json:"owner"`
	Requester           string   `json:"requester"`
	Renewers            []string `json:"renewers"`
	IssueTimestamp      int64    `json:"issueTimestamp"`
	MaxTimestamp        int64    `json:"maxTimestamp"`
	ExpirationTimestamp int64    `json:"expirationTimestamp"`
}

// getMetadata answers with the whole image. All of it is of one offset.
func (s *Server) getMetadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	out := bufio.NewWriterSize(w, 64<<10)
	if err := writeImage(out, s.config.ClusterID, s.config.Image()); err != nil {
		return // the reader has gone away
	}
	out.Flush() // as above
}

// writeImage writes the document piece by piece: a million partitions are never in memory as text.
func writeImage(w io.Writer, clusterID string, img *image.Image) error {
	o := objectWriter{w: w}
	leader, epoch := img.Leader()
	o.field("clusterId", clusterID)
	o.field("controllerId", leader)
	o.field("offset", img.EndOffset())
	o.field("epoch", epoch)
	o.field("timestamp", img.Timestamp())
	o.field("features", features(img))
	list(&o, "voters", voters(img))
	list(&o, "controllers", mapped(img.Controllers(), toController))
	list(&o, "brokers", mapped(img.Brokers(), toBroker))
	list(&o, "topics", mapped(img.Topics(), toTopic))
	o.field("producerIds", producerIDs(img))
	list(&o, "configs", configs(img))
	list(&o, "clientQuotas", mapped(img.Quotas(), toQuota))
	list(&o, "acls", mapped(img.ACLs(), func(a *image.ACL) aclJSON { return aclJSON(*a) }))
	list(&o, "userScramCredentials", mapped(img.ScramCredentials(), toScram))
	list(&o, "delegationTokens", mapped(img.DelegationTokens(), toToken))
	return o.end()
}

// features are the finalized levels; kraft.version is one for whoever reads them, though the log keeps it elsewhere.
func features(img *image.Image) map[string]int16 {
	levels := map[string]int16{}
	for name, level := range img.Features() {
		levels[name] = level
	}
	if level := img.KRaftVersion(); level > 0 {
		levels["kraft.version"] = level
	}
	return levels
}

func voters(img *image.Image) iter.Seq[voterJSON] {
	return func(yield func(voterJSON) bool) {
		set := img.Voters()
		if set == nil {
			return
		}
		for _, v := range set.Voters {
			j := voterJSON{VoterID: v.ID, VoterDirectoryID: v.DirectoryID, Endpoints: []voterEndpointJSON{}}
			for _, e := range v.Endpoints {
				j.Endpoints = append(j.Endpoints, voterEndpointJSON(e))
			}
			if !yield(j) {
				return
			}
		}
	}
}

func toController(c *image.Controller) controllerJSON {
	return controllerJSON{c.ID, c.IncarnationID, endpoints(c.EndPoints), ranges(c.Features)}
}

func toBroker(b *image.Broker) brokerJSON {
	return brokerJSON{
		BrokerID: b.ID, BrokerEpoch: b.Epoch, IncarnationID: b.IncarnationID, Fenced: b.Fenced, InControlledShutdown: b.InControlledShutdown,
		Rack: b.Rack, EndPoints: endpoints(b.EndPoints), Features: ranges(b.Features), LogDirs: orEmpty(b.LogDirs), CordonedLogDirs: b.CordonedLogDirs,
	}
}

func endpoints(list []records.Endpoint) []endpointJSON {
	j := []endpointJSON{}
	for _, e := range list {
		j = append(j, endpointJSON{e.Name, e.Host, e.Port, e.SecurityProtocol})
	}
	return j
}

func ranges(list []records.FeatureRange) []featureRange {
	j := []featureRange{}
	for _, f := range list {
		j = append(j, featureRange{f.Name, f.Min, f.Max})
	}
	return j
}

func toTopic(t *image.Topic) topicJSON {
	j := topicJSON{t.Name, t.ID, make([]partitionJSON, 0, t.NumPartitions())}
	for id, p := range t.Partitions() {
		j.Partitions = append(j.Partitions, partitionJSON{
			PartitionID: id, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch,
			Replicas: orEmpty(p.Replicas), ISR: orEmpty(p.ISR), AddingReplicas: orEmpty(p.Adding), RemovingReplicas: orEmpty(p.Removing),
			LeaderRecoveryState: p.RecoveryState, Directories: orEmpty(p.Directories),
			EligibleLeaderReplicas: orEmpty(p.ELR), LastKnownELR: orEmpty(p.LastKnownELR),
		})
	}
	return j
}

func producerIDs(img *image.Image) producerIDsJSON {
	j := producerIDsJSON{NextProducerID: img.NextProducerID(), Blocks: []producerBlockJSON{}}
	for broker, block := range img.ProducerIDBlocks() {
		j.Blocks = append(j.Blocks, producerBlockJSON{broker, block.First, block.Count})
	}
	return j
}

func configs(img *image.Image) iter.Seq[configJSON] {
	return func(yield func(configJSON) bool) {
		for _, kind := range []int8{image.ConfigTopic, image.ConfigBroker, image.ConfigClientMetrics, image.ConfigGroup} {
			for name := range img.ConfigResources(kind) {
				j := configJSON{kind, name, map[string]string{}}
				for key, value := range img.Configs(kind, name) {
					j.Configs[key] = shown(key, value)
				}
				if !yield(j) {
					return
				}
			}
		}
	}
}

// shown is a config's value as far as it may be seen: brokers keep passwords and keys among their dynamic configs.
func shown(key, value string) string {
	for _, secret := range []string{"password", "secret", "jaas.config", "ssl.keystore.key", "ssl.keystore.certificate.chain", "ssl.truststore.certificates", "credential"} {
		if strings.Contains(key, secret) {
			return "redacted"
		}
	}
	return value
}

func toQuota(q *image.Quota) quotaJSON {
	j := quotaJSON{Quotas: map[string]float64{}}
	for _, e := range q.Entity {
		j.Entity = append(j.Entity, quotaEntityJSON{e.Type, e.Name})
	}
	for _, v := range q.Values {
		j.Quotas[v.Key] = v.Value
	}
	return j
}

func toScram(c *image.ScramCredential) scramJSON {
	return scramJSON{c.User, c.Mechanism, c.Iterations}
}

// toToken shows a token without what would let somebody use it: that is computed, and not in the image.
func toToken(t *image.DelegationToken) tokenJSON {
	return tokenJSON{t.ID, t.Owner, t.Requester, orEmpty(t.Renewers), t.IssueTimestamp, t.MaxTimestamp, t.ExpirationTimestamp}
}

// orEmpty keeps "none" apart from null, which JSON readers stumble over.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func mapped[A, B any](all iter.Seq[A], f func(A) B) iter.Seq[B] {
	return func(yield func(B) bool) {
		for a := range all {
			if !yield(f(a)) {
				return
			}
		}
	}
}

// objectWriter writes one JSON object field by field. After a failed write it does nothing more and keeps the error.
type objectWriter struct {
	w     io.Writer
	begun bool
	err   error
}

func (o *objectWriter) field(name string, value any) {
	o.name(name)
	o.value(value)
}

// list writes a field whose elements are made one at a time.
func list[T any](o *objectWriter, name string, elements iter.Seq[T]) {
	o.name(name)
	separator := "["
	for element := range elements {
		o.text(separator)
		o.value(element)
		separator = ",\n"
		if o.err != nil {
			return
		}
	}
	if separator == "[" {
		o.text("[")
	}
	o.text("]")
}

func (o *objectWriter) name(name string) {
	if o.begun {
		o.text(",\n")
	} else {
		o.text("{")
	}
	o.begun = true
	o.value(name)
	o.text(":")
}

func (o *objectWriter) value(value any) {
	if o.err != nil {
		return
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // a topic's name is to be found as it is written
	if err := encoder.Encode(value); err != nil {
		o.err = err
		return
	}
	_, o.err = o.w.Write(bytes.TrimRight(b.Bytes(), "\n"))
}

func (o *objectWriter) text(text string) {
	if o.err == nil {
		_, o.err = io.WriteString(o.w, text)
	}
}

func (o *objectWriter) end() error {
	o.text("}\n")
	return o.err
}
