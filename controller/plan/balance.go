package plan

import (
	"yakt/controller/image"
)

// MaxBalanced is how many leaders [BalanceLeaders] moves at once, as with Apache: each move interrupts producers.
const MaxBalanced = 1000

// BalanceLeaders gives the leadership back to preferred leaders, the first replicas, where they can have it: brokers that were away come
// back without leaderships. It does at most [MaxBalanced] of them; call it again while it does that many.
func BalanceLeaders(v *View) Result {
	e := elector{view: v}
	v.Image.EachPartition(func(t *image.Topic, id int32, p *image.Partition) bool {
		if p.Leader == p.Preferred() {
			return true
		}
		if e.of != t {
			e.topic(t)
		}
		e.elect(id, p)
		return len(e.recs) < MaxBalanced
	})
	return Result{Records: e.recs}
}
