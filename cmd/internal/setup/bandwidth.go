package setup

import (
	"runtime"
	"sync"
	"time"
)

// MemoryBandwidth measures how fast that many threads read memory that is not in a cache, in bytes per second: the best of
// a few passes over 256 MiB. 0 or less stands for all cores. It is a floor: compiled Go reads with scalar loads.
func MemoryBandwidth(threads int) float64 {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	const words = 256 << 20 / 8
	memory := make([]uint64, words)
	for i := range memory {
		memory[i] = uint64(i)
	}
	best := 0.0
	for range 5 {
		start := time.Now()
		var wg sync.WaitGroup
		sums := make([]uint64, threads)
		for t := range threads {
			part := memory[t*words/threads : (t+1)*words/threads]
			wg.Go(func() { sums[t] = sum(part) })
		}
		wg.Wait()
		rate := float64(len(memory)*8) / time.Since(start).Seconds()
		runtime.KeepAlive(sums) // or the compiler may leave the reading out
		best = max(best, rate)
	}
	return best
}

func sum(words []uint64) uint64 {
	var a, b, c, d uint64
	for len(words) >= 8 {
		a += words[0] + words[4]
		b += words[1] + words[5]
		c += words[2] + words[6]
		d += words[3] + words[7]
		words = words[8:]
	}
	return a + b + c + d
}
