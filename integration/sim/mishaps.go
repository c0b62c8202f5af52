package sim

// mishap is a small thing that goes wrong by chance where it can, other than the faults that are scheduled. How likely each
// is differs from seed to seed: some histories are made by one kind of mishap that happens all the time, others by its absence.
type mishap int

const (
	signalLost mishap = iota
	signalLate
	tickLate
	stepLate
	proposalHeld    // in a buffer of a node that does not lead, perhaps into a later term
	proposalRefused // alone, while others go on
	outcomeLate
	outcomeUnknown // an error for what is committed already
	applyLate
	verifyFails
	campaignForced
	termsSkipped
	voteLost
	contactLost
	contactLate
	entriesSplit
	checkpointSent // instead of entries
	wrongNode
	epochLied // by a broker, of itself
	mishaps
)

var likelihood = [mishaps]float64{
	signalLost:      0.2,
	signalLate:      0.1,
	tickLate:        0.03,
	stepLate:        0.01,
	proposalHeld:    0.4,
	proposalRefused: 0.005,
	outcomeLate:     0.03,
	outcomeUnknown:  0.2,
	applyLate:       0.05,
	verifyFails:     0.01,
	campaignForced:  0.1,
	termsSkipped:    0.1,
	voteLost:        0.05,
	contactLost:     0.02,
	contactLate:     0.02,
	entriesSplit:    0.3,
	checkpointSent:  0.3,
	wrongNode:       0.1,
	epochLied:       0.02,
}

// odds are the likelihoods of one simulation.
type odds [mishaps]float64

func (w *world) drawOdds() {
	for m, p := range likelihood {
		w.odds[m] = min(0.9, p*[]float64{0, 0.3, 1, 1, 4, 8}[w.rand.IntN(6)])
	}
}

// happens says whether a mishap happens now. None do once the faults are over.
func (w *world) happens(m mishap) bool { return !w.calm && w.rand.Float64() < w.odds[m] }
