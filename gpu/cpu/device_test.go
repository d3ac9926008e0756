package cpu

import (
	"testing"

	"shoal/gpu/gputest"
)

func TestDevice(t *testing.T) {
	for name, threads := range map[string]int{"one thread": 1, "three threads": 3} {
		t.Run(name, func(t *testing.T) {
			dev := New(threads)
			defer dev.Close()
			gputest.Run(t, dev)
		})
	}
}
