//go:build cgo

package webgpu

import (
	"runtime"
	"time"
)

// The library can wait for the device by itself, but gives up after 5 seconds and then takes the work for done: what is read
// back is wrong, and memory is freed under a running shader. A long prefill on a slow device takes longer. So this package asks
// again and again.

// pause waits between two questions, the longer the more were asked since start. A card answers in about 100 us, and to sleep
// takes as long; software devices need the processor for their work.
func (d *Device) pause(start time.Time) {
	if !d.info.Software && time.Since(start) < 500*time.Microsecond {
		runtime.Gosched()
		return
	}
	time.Sleep(50 * time.Microsecond)
}

// drain waits until the queue is empty. The caller holds the lock.
func (d *Device) drain() {
	for start := time.Now(); !d.raw.Poll(false, nil); {
		d.pause(start)
	}
}

// await waits for a mapping. It holds the lock only to ask, so that other goroutines can record and submit meanwhile.
func (d *Device) await(m mapping) error {
	for start := time.Now(); ; d.pause(start) {
		d.mu.Lock()
		closed := d.raw == nil
		if !closed {
			d.raw.Poll(false, nil)
		}
		d.mu.Unlock()
		switch {
		case m.done():
			return m.result()
		case closed:
			return errClosed // the mapping is left to the library
		}
	}
}
