//go:build !yakt_emptied_votes

package sim

// A deliberate defect of the model, behind a build tag of its own, proves that lost data would be noticed: a voter whose directory
// was emptied goes on voting. What keeps raftlog's nodes from it has its tests there.
const emptiedVotes = false
