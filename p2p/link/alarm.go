package link

import (
	"runtime"
	"time"
)

// early is how long before its time a sleep ends: waking takes some 50 µs, which are then passed by asking the clock.
const early = 60 * time.Microsecond

// wait returns when now has reached due, within a few µs on an idle machine.
func (a *alarm) wait(now func() time.Duration, due time.Duration) {
	if d := due - now() - early; d > 0 {
		a.sleep(d)
	}
	for now() < due {
		runtime.Gosched()
	}
}
