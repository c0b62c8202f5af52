package image

import (
	"iter"

	"yakt/records"
)

// MetadataVersion is the finalized metadata.version, 0 when there is none yet.
func (i *Image) MetadataVersion() records.MetadataVersion {
	return records.MetadataVersion(i.FeatureLevel(records.FeatureMetadataVersion))
}

// FeatureLevel is the finalized level of a feature, 0 when it is off. kraft.version is not among them: it lives in
// control records, see [Image.KRaftVersion].
func (i *Image) FeatureLevel(name string) int16 {
	level, _ := i.features.get(name)
	return level
}

// Features iterates over the finalized features and their levels, by name; metadata.version is one of them.
func (i *Image) Features() iter.Seq2[string, int16] { return i.features.scan }

// ELREnabled says whether eligible leader replicas are kept (KIP-966).
func (i *Image) ELREnabled() bool { return i.FeatureLevel(records.FeatureELRVersion) >= 1 }

func (e *Edit) replayFeatureLevel(o *owner, r *records.FeatureLevel, offset int64) {
	switch {
	case r.Name == records.FeatureKRaftVersion:
		// Readers skip it: the level lies in control records.
	case r.Level < 0:
		refuse(r, offset, "%s level %d", r.Name, r.Level)
	case r.Name == records.FeatureMetadataVersion && !records.MetadataVersion(r.Level).Known():
		refuse(r, offset, "unknown metadata.version %d", r.Level)
	case r.Level == 0:
		e.head.features.delete(o, r.Name)
	default:
		e.head.features.set(o, r.Name, r.Level)
	}
}

// carried is the level at which the records of an image are written: its metadata.version. Without one everything is carried.
//
// Nothing is lost by it: a level goes down only while there is nothing that the lower one cannot carry.
func carried(level records.MetadataVersion) records.MetadataVersion {
	if level == 0 {
		return records.LatestMetadataVersion
	}
	return level
}
