package hardware

import "golang.org/x/sys/unix"

// PeakMemory is the largest resident size that this process has had, in bytes.
func PeakMemory() int64 {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return usage.Maxrss
}
