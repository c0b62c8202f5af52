package plan

import (
	"strconv"

	"yakt/controller/image"
	"yakt/records"
)

// Activation returns what a new active controller writes before anything else. A log without a metadata.version gets its bootstrap
// records, at Settings.MetadataVersion. A controller that has not led since it was started registers itself. Mostly it is nothing.
func Activation(v *View) Result {
	var recs []records.Record
	im := v.Image
	level := im.MetadataVersion()
	if level == 0 {
		level = v.Settings.MetadataVersion
		recs = append(recs, bootstrap(v.Settings)...)
	}
	recs = append(recs, v.registerSelf(im, level)...)
	return Result{Records: recs}
}

// bootstrap returns the first records of a new cluster, as a 4.3 format has them written. metadata.version comes first:
// everything after it is written for that level.
func bootstrap(s *Settings) []records.Record {
	var recs []records.Record
	if s.MetadataVersion.HasTransactions() {
		name := "Bootstrap records"
		recs = append(recs, &records.BeginTransaction{Name: &name})
	}
	elr := false
	for _, f := range records.FeatureDefaults(s.MetadataVersion) {
		recs = append(recs, f)
		elr = elr || f.Name == records.FeatureELRVersion && f.Level > 0
	}
	if elr {
		// ELR counts on one min.insync.replicas that all brokers agree on.
		value := strconv.Itoa(int(s.MinISR))
		recs = append(recs, &records.Config{ResourceType: image.ConfigBroker, Name: "min.insync.replicas", Value: &value})
	}
	if s.MetadataVersion.HasTransactions() {
		recs = append(recs, &records.EndTransaction{})
	}
	return recs
}
