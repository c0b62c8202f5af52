package wire

import (
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestVersionsThatMakeNoSenseAreABug(t *testing.T) {
	ok := APIVersions{Key: 18, Min: 0, Max: 4}
	for name, list := range map[string][]APIVersions{
		"no ApiVersions":  {{Key: 3, Max: 1}},
		"unknown key":     {ok, {Key: 999}},
		"negative key":    {ok, {Key: -1}},
		"listed twice":    {ok, ok},
		"empty range":     {ok, {Key: 3, Min: 2, Max: 1}},
		"negative":        {ok, {Key: 3, Min: -1, Max: 1}},
		"newer than kmsg": {ok, {Key: 3, Min: 0, Max: 99}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			newVersions(list)
		})
	}
}

// taggedSince are the tagged fields of the responses that kmsg knows, and since which version Kafka's schemas
// have them; 0 is for those of the first flexible version, and for responses that we never give. When kmsg
// brings one more, it belongs here, and if it came later than its response then in clearNewerTags, too.
var taggedSince = map[string]int16{
	"FetchResponse.Brokers":               16,
	"FetchSnapshotResponse.NodeEndpoints": 1,

	"ApiVersionsResponse.FinalizedFeatures":                 0,
	"ApiVersionsResponse.FinalizedFeaturesEpoch":            0,
	"ApiVersionsResponse.SupportedFeatures":                 0,
	"ApiVersionsResponse.ZkMigrationReady":                  0,
	"BeginQuorumEpochResponse.NodeEndpoints":                0, // never given
	"CreateTopicsResponse.Topics.ConfigErrorCode":           0,
	"EndQuorumEpochResponse.NodeEndpoints":                  0, // never given
	"FetchResponse.Topics.Partitions.CurrentLeader":         0,
	"FetchResponse.Topics.Partitions.DivergingEpoch":        0,
	"FetchResponse.Topics.Partitions.SnapshotID":            0,
	"FetchSnapshotResponse.Topics.Partitions.CurrentLeader": 0,
	"ProduceResponse.Brokers":                               0, // never given
	"ProduceResponse.Topics.Partitions.CurrentLeader":       0, // never given
	"UpdateRaftVoterResponse.CurrentLeader":                 0,
	"VoteResponse.NodeEndpoints":                            0, // never given
}

// findTagged calls f for each tagged field within a shape.
func findTagged(s *shape, path string, f func(path string)) {
	if s.elem != nil {
		findTagged(s.elem, path, f)
	}
	for _, inner := range s.tagged {
		f(path + "." + inner.name)
		findTagged(inner.shape, path+"."+inner.name, f)
	}
	for _, inner := range s.fields {
		findTagged(inner.shape, path+"."+inner.name, f)
	}
}

func TestNoAnswerHasTagsNewerThanItsVersion(t *testing.T) {
	seen := make(map[string]bool)
	everyVersion(t, func(t *testing.T, key, version int16) {
		resp := kmsg.ResponseForKey(key)
		resp.SetVersion(version)
		s, err := shapeOf(resp)
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.ValueOf(resp).Elem() // which shapeOf has filled
		clearNewerTags(resp, version)
		findTagged(s, v.Type().Name(), func(path string) {
			seen[path] = true
			since, ok := taggedSince[path]
			if !ok {
				t.Errorf("%s is new in kmsg", path)
			}
			if since == 0 { // and all others are fields of the response itself
				return
			}
			_, field, _ := strings.Cut(path, ".")
			if kept := !v.FieldByName(field).IsZero(); kept != (version >= since) {
				t.Errorf("%s in version %d: %v", path, version, kept)
			}
		})
	})
	for path := range taggedSince {
		if !seen[path] {
			t.Errorf("%s is gone from kmsg", path)
		}
	}
}
