package httpapi

import (
	"iter"
	"net/http"

	"yakt/controller/image"
	"yakt/records"
)

// The JSON of GET /get_metadata has one section for every part of the image, and uses the field names of the records in
// KIP-746 and its successors. Lists are in the image's order, which is fixed, so equal images give equal documents.

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
func (s *Server) getMetadata(w http.ResponseWriter, _ *http.Request) error {
	img := s.config.Controller.Image()
	stream(w, func(o *objectWriter) { s.writeImage(o, img) })
	return nil
}

func (s *Server) writeImage(o *objectWriter, img *image.Image) {
	s.writePosition(o, img)
	o.field("features", features(img))
	list(o, "voters", voters(img))
	list(o, "controllers", mapped(img.Controllers(), toController))
	list(o, "brokers", mapped(img.Brokers(), toBroker))
	list(o, "topics", mapped(img.Topics(), toTopic))
	o.field("producerIds", producerIDs(img))
	list(o, "configs", configSets(img))
	list(o, "clientQuotas", mapped(img.Quotas(), toQuota))
	list(o, "acls", mapped(img.ACLs(), func(a *image.ACL) aclJSON { return aclJSON(*a) }))
	list(o, "userScramCredentials", mapped(img.ScramCredentials(), toScram))
	list(o, "delegationTokens", mapped(img.DelegationTokens(), toToken))
}

// writePosition says of which cluster and offset the rest is.
func (s *Server) writePosition(o *objectWriter, img *image.Image) {
	leader, epoch := s.leader(img)
	o.field("clusterId", s.config.ClusterID)
	o.field("controllerId", leader)
	o.field("offset", img.EndOffset())
	o.field("epoch", epoch)
	o.field("timestamp", img.Timestamp())
}

// leader is who led when the image's last record was written, and the epoch. A checkpoint has no word of it; after one it
// is who is known to lead that epoch now, and otherwise -1.
func (s *Server) leader(img *image.Image) (id, epoch int32) {
	if id, epoch = img.Leader(); id < 0 {
		if now, since := s.config.Controller.Leader(); since == epoch {
			id = now
		}
	}
	return id, epoch
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

func configSets(img *image.Image) iter.Seq[configJSON] {
	return func(yield func(configJSON) bool) {
		for _, kind := range []int8{image.ConfigTopic, image.ConfigBroker, image.ConfigClientMetrics, image.ConfigGroup} {
			for name := range img.ConfigResources(kind) {
				j := configJSON{kind, name, map[string]string{}}
				for key, value := range img.Configs(kind, name) {
					j.Configs[key] = shown(kind, key, value)
				}
				if !yield(j) {
					return
				}
			}
		}
	}
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
