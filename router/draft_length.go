package router

// How many guesses to verify in one pass. Pure functions and estimates; speculation.go applies them.

// MaxDraft is the most guesses in a pass.
const MaxDraft = 15

// passCost is how long a pass takes: base with one row, perRow more for each further one. The unit does not matter.
type passCost struct{ base, perRow float64 }

func (c passCost) pass(guesses int) float64 { return c.base + float64(guesses)*c.perRow }

// worthwhile is the gain below which a draft is not sent: it is less than what can be known of pass times.
const worthwhile = 1.02

// draftLength returns how many guesses give the most tokens per second, and that as a multiple of what passes without guesses
// give; 0 and 1 if no number is worthwhile. odds[j] is the probability that guess j is right if those before it are. A pass
// with n guesses makes 1 + sum over j < n of odds[0] * ... * odds[j] tokens, the 1 being the model's own after them (Leviathan
// et al. 2023, equation 1).
func draftLength(odds []float64, c passCost) (n int, gain float64) {
	gain = worthwhile
	right, tokens := 1.0, 1.0
	for j, p := range odds {
		right *= p
		tokens += right
		if g := tokens * c.base / c.pass(j+1); g > gain {
			n, gain = j+1, g
		}
	}
	if n == 0 {
		return 0, 1
	}
	return n, gain
}

// odds measures how often the guesses of one drafter are right, by grade. What is long ago counts less.
type odds struct {
	prior       []float64
	right, seen []float64
}

func newOdds(prior []float64) odds {
	return odds{prior, make([]float64, len(prior)), make([]float64, len(prior))}
}

const (
	priorWeight = 2    // observations that a prior stands for
	keepSeen    = .95  // of the weight of observations at the next one of the same grade
	keepPass    = .995 // at the next pass, so that what cannot be watched for free is tried again some day
)

// observe notes that a guess of a grade was right or not.
func (o *odds) observe(grade int, right bool) {
	o.right[grade] *= keepSeen
	o.seen[grade] = o.seen[grade]*keepSeen + 1
	if right {
		o.right[grade]++
	}
}

func (o *odds) pass() {
	for g := range o.seen {
		o.right[g] *= keepPass
		o.seen[g] *= keepPass
	}
}

func (o *odds) of(grade int) float64 {
	return (o.right[grade] + priorWeight*o.prior[grade]) / (o.seen[grade] + priorWeight)
}

// draft is the odds of n guesses of which the first has the given grade.
func (o *odds) draft(grade, n int) []float64 {
	out := make([]float64, n)
	for j := range out {
		out[j] = o.of(o.at(grade, j))
	}
	return out
}

// at is the grade of guess j of a draft.
func (o *odds) at(grade, j int) int { return min(grade+j, len(o.prior)-1) }
