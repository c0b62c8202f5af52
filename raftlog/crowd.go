package raftlog

import (
	"slices"
	"sync"
)

// A crowd is those who are served before it is known what they are good for. There is always room for one more: when it is full, the one
// that has been in it longest is put out. So nobody is kept out by others that stay and say nothing; who does what it came for is
// through long before its turn comes, unless there are that many in the time that it takes.
type crowd struct {
	most int
	mu   sync.Mutex
	in   []*guest // oldest first
}

type guest struct{ putOut func() }

// enter lets somebody in; putOut has to end what it is being served. The caller calls leave, once or more, when that has ended.
func (c *crowd) enter(putOut func()) (leave func()) {
	g := &guest{putOut}
	c.mu.Lock()
	var oldest *guest
	if len(c.in) >= c.most {
		oldest = c.in[0]
		c.in = slices.Delete(c.in, 0, 1)
	}
	c.in = append(c.in, g)
	c.mu.Unlock()
	if oldest != nil {
		oldest.putOut()
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.in = slices.DeleteFunc(c.in, func(one *guest) bool { return one == g })
	}
}
