package router

import "math"

// passTime follows how long passes take, as a line over their rows. What is long ago counts less.
type passTime struct {
	line        passCost
	weight      float64 // of the passes in the means, 0 before the first
	rows, time  float64 // means of further rows, and of seconds
	uncertainty float64 // of the slope, as a variance relative to that of a pass's time
	reach       int     // the most further rows of any pass
}

const (
	keepTime  = .95  // of the weight of passes at the next pass
	keepSlope = .998 // of what the slope differs from unmeasuredSlope, at a pass of one row
	// unmeasuredSlope is a further row's part of a pass of one row as long as it is not measured. Too small costs one pass of
	// two rows, too large would never be found out.
	unmeasuredSlope = 1. / 8
	slopeDrift      = .02 // that uncertainty grows by at each pass, up to 1
	outlier         = 3   // times the expected: a longer pass counts as that
)

// known reports whether there was a pass at all.
func (p *passTime) known() bool { return p.weight > 0 }

// add notes a pass and returns how long it counts as, in seconds.
//
// Only a pass that has other rows than those before it says something of the slope, and says it once: a scalar Kalman filter
// whose observation is the difference from the means. Passes that are all alike leave the slope as it is, and passes that get
// slower together do not look like rows that do.
func (p *passTime) add(further int, seconds float64) float64 {
	x := float64(further)
	if !p.known() {
		p.line = passCost{seconds, seconds * unmeasuredSlope}
		p.uncertainty, p.rows, p.time = 1, x, seconds
	}
	seconds = min(seconds, outlier*p.line.pass(further))
	p.reach = max(p.reach, further)

	slope := p.line.perRow
	dx, dt := x-p.rows, seconds-p.time
	gain := p.uncertainty * dx / (1 + p.uncertainty*dx*dx)
	slope = max(0, slope+gain*(dt-slope*dx))
	p.uncertainty = min(p.uncertainty*(1-gain*dx)+slopeDrift, 1)
	if further == 0 {
		slope += (1 - keepSlope) * (unmeasuredSlope*p.line.base - slope)
	}

	p.weight = p.weight*keepTime + 1
	p.rows += (x - p.rows) / p.weight
	p.time += (seconds - p.time) / p.weight
	p.line = passCost{max(p.time-slope*p.rows, p.time/(2*MaxDraft), math.SmallestNonzeroFloat64), slope}
	return seconds
}

// next is the most guesses that may be tried: few at first, since what many cost is a guess as well.
func (p *passTime) next() int { return min(2*p.reach+1, MaxDraft) }
