//go:build yakt_emptied_votes

package sim

const emptiedVotes = true
