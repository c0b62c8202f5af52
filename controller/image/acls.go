package image

import (
	"iter"
	"strings"

	"yakt/records"
)

// ACL is one access control entry; the numbers are those of the Kafka protocol. It is never changed.
type ACL struct {
	ID             records.UUID
	ResourceType   int8
	ResourceName   string
	PatternType    int8
	Principal      string
	Host           string
	Operation      int8
	PermissionType int8
}

// Pattern types of ACLs.
const (
	ACLLiteral  int8 = 3
	ACLPrefixed int8 = 4
)

// acls is the ACLs' part of an image.
type acls struct {
	byID      tree[string, *ACL] // the key is the id's 16 bytes
	byPattern tree[string, *ACL] // resource type, pattern type, resource name, id
}

// ACL returns the access control entry with this id.
func (i *Image) ACL(id records.UUID) (*ACL, bool) { return i.acls.byID.get(string(id[:])) }

// ACLs iterates over all access control entries by id.
func (i *Image) ACLs() iter.Seq[*ACL] { return i.acls.byID.values() }

// NumACLs is the number of access control entries.
func (i *Image) NumACLs() int { return i.acls.byID.len() }

// MatchingACLs iterates over the access control entries whose pattern matches the resource: the literal ones of this
// name and of "*", and the prefixed ones whose name it begins with.
func (i *Image) MatchingACLs(resourceType int8, resourceName string) iter.Seq[*ACL] {
	return func(yield func(*ACL) bool) {
		if !i.acls.each(aclKey(resourceType, ACLLiteral, resourceName), yield) {
			return
		}
		if resourceName != "*" && !i.acls.each(aclKey(resourceType, ACLLiteral, "*"), yield) {
			return
		}
		i.acls.prefixes(resourceType, resourceName, yield)
	}
}

// each calls yield for all ACLs of one pattern.
func (a *acls) each(pattern string, yield func(*ACL) bool) bool {
	more := true
	a.byPattern.from(pattern, func(key string, acl *ACL) bool {
		if !strings.HasPrefix(key, pattern) {
			return false
		}
		more = yield(acl)
		return more
	})
	return more
}

// prefixes calls yield for all prefixed ACLs that match. It goes from one match to the next possible one, so that its
// cost follows the matches and the name's length, not the number of ACLs.
func (a *acls) prefixes(resourceType int8, name string, yield func(*ACL) bool) {
	for n := 0; n <= len(name); {
		var next *ACL
		a.byPattern.from(aclKey(resourceType, ACLPrefixed, name[:n]), func(_ string, acl *ACL) bool {
			next = acl
			return false
		})
		if next == nil || next.ResourceType != resourceType || next.PatternType != ACLPrefixed {
			return
		}
		if next.ResourceName == name[:n] && !a.each(aclKey(resourceType, ACLPrefixed, name[:n]), yield) {
			return
		}
		// Whatever still may match is longer than n; and it is at least as long as what next shares with name,
		// because everything between name[:n] and next has been passed over.
		n = max(n+1, shared(next.ResourceName, name))
	}
}

// shared is the length of the common prefix of a and b.
func shared(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// aclKey is the prefix of the keys of all ACLs with one pattern.
func aclKey(resourceType, patternType int8, name string) string {
	var buf [64]byte
	return string(appendText(append(buf[:0], byte(resourceType), byte(patternType)), name))
}

func (a *ACL) key() string {
	return aclKey(a.ResourceType, a.PatternType, a.ResourceName) + string(a.ID[:])
}

func (e *Edit) replayAccessControlEntry(o *owner, r *records.AccessControlEntry, offset int64) {
	if _, ok := e.head.acls.byID.get(string(r.ID[:])); ok {
		refuse(r, offset, "ACL %v exists already", r.ID)
	}
	a := &ACL{
		ID:             r.ID,
		ResourceType:   r.ResourceType,
		ResourceName:   r.ResourceName,
		PatternType:    r.PatternType,
		Principal:      r.Principal,
		Host:           r.Host,
		Operation:      r.Operation,
		PermissionType: r.PermissionType,
	}
	e.head.acls.byID.set(o, string(r.ID[:]), a)
	e.head.acls.byPattern.set(o, a.key(), a)
}

func (e *Edit) replayRemoveAccessControlEntry(o *owner, r *records.RemoveAccessControlEntry, offset int64) {
	a, ok := e.head.acls.byID.get(string(r.ID[:]))
	if !ok {
		refuse(r, offset, "there is no ACL %v", r.ID)
	}
	e.head.acls.byID.delete(o, string(r.ID[:]))
	e.head.acls.byPattern.delete(o, a.key())
}

func (a *ACL) record() *records.AccessControlEntry {
	return &records.AccessControlEntry{
		ID:             a.ID,
		ResourceType:   a.ResourceType,
		ResourceName:   a.ResourceName,
		PatternType:    a.PatternType,
		Principal:      a.Principal,
		Host:           a.Host,
		Operation:      a.Operation,
		PermissionType: a.PermissionType,
	}
}
