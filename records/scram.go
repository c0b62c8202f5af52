package records

// UserScramCredential sets a user's credential for one mechanism (KIP-554). Salt and keys are secrets.
type UserScramCredential struct {
	Name       string
	Mechanism  int8 // 1 SCRAM-SHA-256, 2 SCRAM-SHA-512
	Salt       []byte
	StoredKey  []byte
	ServerKey  []byte
	Iterations int32

	Unknown []UnknownTag
}

// RemoveUserScramCredential removes a user's credential for one mechanism.
type RemoveUserScramCredential struct {
	Name      string
	Mechanism int8

	Unknown []UnknownTag
}

// APIKey implements Record.
func (*UserScramCredential) APIKey() Key { return KeyUserScramCredential }

// APIKey implements Record.
func (*RemoveUserScramCredential) APIKey() Key { return KeyRemoveUserScramCredential }

func (r *UserScramCredential) fields(c *codec) {
	c.string("name", &r.Name)
	c.int8("mechanism", &r.Mechanism)
	c.bytes("salt", &r.Salt)
	c.bytes("storedKey", &r.StoredKey)
	c.bytes("serverKey", &r.ServerKey)
	c.int32("iterations", &r.Iterations)
	c.unknownTags(&r.Unknown)
}

func (r *RemoveUserScramCredential) fields(c *codec) {
	c.string("name", &r.Name)
	c.int8("mechanism", &r.Mechanism)
	c.unknownTags(&r.Unknown)
}
