package router

import (
	"slices"
	"time"
)

// window keeps how long the latest calls took. Its zero value is empty.
type window struct {
	latest   [128]time.Duration
	count    int // of all calls ever
	p50, p95 time.Duration
}

// add notes a call. The quantiles follow every call at first, and every eighth once they are settled.
func (w *window) add(d time.Duration) {
	w.latest[w.count%len(w.latest)] = d
	w.count++
	if w.count > 32 && w.count%8 != 0 {
		return
	}
	sorted := slices.Clone(w.latest[:min(w.count, len(w.latest))])
	slices.Sort(sorted)
	w.p50, w.p95 = quantile(sorted, .5), quantile(sorted, .95)
}

// quantile is the nearest-rank quantile of ascending durations, 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
