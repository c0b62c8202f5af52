package image

import (
	"iter"

	"yakt/records"
)

// Names of the features that the image itself knows.
const (
	MetadataVersionFeature = "metadata.version"
	KRaftVersionFeature    = "kraft.version"
	ELRFeature             = "eligible.leader.replicas.version"
)

// MetadataVersion is the finalized metadata.version, 0 when there is none yet.
func (i *Image) MetadataVersion() records.MetadataVersion {
	return records.MetadataVersion(i.FeatureLevel(MetadataVersionFeature))
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
func (i *Image) ELREnabled() bool { return i.FeatureLevel(ELRFeature) >= 1 }

func (e *Edit) replayFeatureLevel(o *owner, r *records.FeatureLevel, offset int64) {
	switch {
	case r.Name == KRaftVersionFeature:
		// Readers skip it: the level lies in control records.
	case r.Level < 0:
		refuse(r, offset, "%s level %d", r.Name, r.Level)
	case r.Name == MetadataVersionFeature && !records.MetadataVersion(r.Level).Known():
		refuse(r, offset, "unknown metadata.version %d", r.Level)
	case r.Level == 0:
		e.head.features.delete(o, r.Name)
	default:
		e.head.features.set(o, r.Name, r.Level)
	}
}

// level is what an image's metadata.version lets records carry. Without one everything is carried.
//
// Nothing is lost by it: a level goes down only while there is nothing that the lower one cannot carry.
type level records.MetadataVersion

func (l level) has(from level) bool { return l == 0 || l >= from }

func (l level) zkMigration() bool         { return l.has(8) }
func (l level) scram() bool               { return l.has(11) }
func (l level) delegationTokens() bool    { return l.has(14) }
func (l level) controllers() bool         { return l.has(15) }
func (l level) directories() bool         { return l.has(17) }
func (l level) elr() bool                 { return l.has(23) }
func (l level) cordonedDirectories() bool { return l.has(30) }
