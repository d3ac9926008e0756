//go:build !linux

package link

import "time"

// alarm waits for a time to pass, as well as Go's timers do.
type alarm struct{}

func newAlarm() *alarm { return &alarm{} }

func (*alarm) wait(d time.Duration) { time.Sleep(d) }

func (*alarm) close() {}
