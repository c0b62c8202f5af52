package query

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/records"
)

// softwareName is what a client may call itself and its version (KIP-511).
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$`)

// APIVersions (v0-4) says what is served and which features there are. It depends on nothing but the image, because
// brokers ask it whenever they connect. Version 3 adds the features (KIP-584), version 4 those that may be off: older
// clients cannot read a supported level of 0.
func APIVersions(q *Context, req *kmsg.ApiVersionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	if req.Version >= 3 && !(softwareName.MatchString(req.ClientSoftwareName) && softwareName.MatchString(req.ClientSoftwareVersion)) {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp
	}
	for _, v := range q.Versions {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: v.Key, MinVersion: v.Min, MaxVersion: v.Max})
	}
	if req.Version < 3 {
		return resp
	}
	for _, f := range records.SupportedFeatures() {
		if f.Min > 0 || req.Version >= 4 {
			resp.SupportedFeatures = append(resp.SupportedFeatures, kmsg.ApiVersionsResponseSupportedFeature{
				Name: f.Name, MinVersion: f.Min, MaxVersion: f.Max,
			})
		}
	}
	finalized := func(name string, level int16) {
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, kmsg.ApiVersionsResponseFinalizedFeature{
			Name: name, MinVersionLevel: level, MaxVersionLevel: level,
		})
	}
	for name, level := range q.Image.Features() {
		finalized(name, level)
	}
	if level := q.Image.KRaftVersion(); level > 0 {
		finalized(records.FeatureKRaftVersion, level)
	}
	resp.FinalizedFeaturesEpoch = q.Image.EndOffset() - 1
	return resp
}
