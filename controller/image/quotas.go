package image

import (
	"iter"
	"slices"
	"strings"

	"yakt/records"
)

// QuotaEntity is one part of what a quota applies to.
type QuotaEntity struct {
	Type string  // user, client-id or ip
	Name *string // nil: the default entity
}

// Quota is what is set for one entity (KIP-546). It is never changed, only replaced.
type Quota struct {
	Entity []QuotaEntity // by type
	Values []QuotaValue  // by key; never empty
}

// QuotaValue is one quota of an entity.
type QuotaValue struct {
	Key   string
	Value float64
}

// Quota returns what is set for exactly this entity; the order of its parts does not matter.
func (i *Image) Quota(entity []QuotaEntity) (*Quota, bool) {
	return i.quotas.get(quotaKey(sortedEntity(entity)))
}

// Quotas iterates over all entities that have quotas, in a fixed order.
func (i *Image) Quotas() iter.Seq[*Quota] { return i.quotas.values() }

func sortedEntity(entity []QuotaEntity) []QuotaEntity {
	byType := func(a, b QuotaEntity) int { return strings.Compare(a.Type, b.Type) }
	if !slices.IsSortedFunc(entity, byType) {
		entity = slices.Clone(entity)
		slices.SortStableFunc(entity, byType)
	}
	return entity
}

// quotaKey expects the entity's parts in order.
func quotaKey(entity []QuotaEntity) string {
	var key []byte
	for _, part := range entity {
		key = appendText(key, part.Type)
		if part.Name == nil {
			key = append(key, 0)
		} else {
			key = appendText(append(key, 1), *part.Name)
		}
	}
	return string(key)
}

func (e *Edit) replayClientQuota(o *owner, r *records.ClientQuota) {
	entity := make([]QuotaEntity, len(r.Entity))
	for i, part := range r.Entity {
		entity[i] = QuotaEntity{Type: part.Type, Name: part.Name}
	}
	entity = sortedEntity(entity)
	key := quotaKey(entity)
	var values []QuotaValue
	if old, ok := e.head.quotas.get(key); ok {
		values = slices.Clone(old.Values)
	}
	at, found := slices.BinarySearchFunc(values, r.Key, func(v QuotaValue, key string) int { return strings.Compare(v.Key, key) })
	switch {
	case r.Remove && found:
		values = slices.Delete(values, at, at+1)
	case r.Remove:
	case found:
		values[at].Value = r.Value
	default:
		values = slices.Insert(values, at, QuotaValue{r.Key, r.Value})
	}
	if len(values) == 0 {
		e.head.quotas.delete(o, key)
		return
	}
	e.head.quotas.set(o, key, &Quota{Entity: entity, Values: values})
}

func (q *Quota) records() iter.Seq[*records.ClientQuota] {
	return func(yield func(*records.ClientQuota) bool) {
		for _, v := range q.Values {
			r := &records.ClientQuota{Entity: make([]records.QuotaEntity, len(q.Entity)), Key: v.Key, Value: v.Value}
			for i, part := range q.Entity {
				r.Entity[i] = records.QuotaEntity{Type: part.Type, Name: part.Name}
			}
			if !yield(r) {
				return
			}
		}
	}
}
