package router

import (
	"math/bits"
	"time"
)

// The timing of calls: how long one may take, when a second replica is asked, how long a failed peer rests. Pure functions;
// health.go applies them.

// Work is sorted by size, because a prefill chunk may take a thousand times as long as one token.
const sizeClasses = 4

// sizeClass is the class of a call with that many slots: up to 16 (a token), 128, 1024, more.
func sizeClass(slots int) int {
	return min(max(bits.Len(uint(max(slots, 1)-1))-2, 0)/3, sizeClasses-1)
}

// Limits bound how long a dispatch may hold up a token. The zero value of a field means its default.
type Limits struct {
	// Call is the longest that a peer may take for the slots of one token, 2 s. The first calls to a peer have it whole;
	// later ones get four times the peer's p95, at most this.
	Call time.Duration
	// Patience is how long a layer is tried again after every replica of an expert failed, 2 s.
	Patience time.Duration
	// Layer bounds a layer with all its failovers and waits, 4.5 s.
	Layer time.Duration
	// PerSlot is added to Call and Layer for each slot, 20 ms, so that a prompt has time on a slow peer.
	PerSlot time.Duration
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&l.Call, 2 * time.Second}, {&l.Patience, 2 * time.Second}, {&l.Layer, 4500 * time.Millisecond}, {&l.PerSlot, 20 * time.Millisecond}} {
		if *f.value == 0 {
			*f.value = f.fallback
		}
	}
	return l
}

// callDeadline is how long a call of that many slots may take on a peer whose calls of this size had the given p95.
func (l Limits) callDeadline(p95 time.Duration, calls, slots int) time.Duration {
	longest := l.Call + time.Duration(slots)*l.PerSlot
	if calls < 8 {
		return longest
	}
	return min(max(4*p95+50*time.Millisecond, longest/8), longest)
}

// hedgeAfter is when a call is late enough for another replica to be asked: an eighth beyond what 95 % of the peer's calls of
// this size took (Dean and Barroso 2013). The eighth keeps the budget for calls that stall, where the peer's times are all alike.
// There is no answer before the peer's usual time is known.
func hedgeAfter(p95 time.Duration, calls int) (time.Duration, bool) {
	if calls < 16 {
		return 0, false
	}
	// Under half a millisecond a duplicate costs more than the wait.
	return max(p95+p95/8, 500*time.Microsecond), true
}

// mayHedge bounds duplicates to 5 % of the calls, so that an overloaded swarm is not loaded further. A few are free at the
// start.
func mayHedge(hedges, extra, calls int) bool { return hedges+extra <= 4+calls/20 }

// backoff is how long a peer rests after that many failures in a row: 250 ms, doubling, at most 30 s.
func backoff(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	return min(250*time.Millisecond<<min(failures-1, 10), 30*time.Second)
}

// decayed is the number of failures that still count after a time without any: one is forgiven every 15 s.
func decayed(failures int, quiet time.Duration) int {
	return max(failures-int(quiet/(15*time.Second)), 0)
}

// retryPause is the wait before the n-th new look for a replica, from 25 ms doubling to 400 ms.
func retryPause(n int) time.Duration {
	return 25 * time.Millisecond << min(n, 4)
}
