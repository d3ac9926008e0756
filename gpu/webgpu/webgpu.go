// Package webgpu is the gpu.Device of graphics cards: Vulkan, Metal and Direct3D 12 through wgpu-native and its Go binding, which
// need cgo. Built without cgo, [New] and [List] return an error that says so, and the program runs on gpu/cpu.
//
// A pass is a list of dispatches until Submit encodes it under the device's lock, in command buffers of some hundred, so that the
// device runs one while the next is encoded. Small writes and the dispatches' parameters travel in one mapped buffer with the
// submission that needs them, and what is read back in another. The queue keeps writes and submissions in order; nothing else
// does. Shaders come from package shaders, compiled at first use; bind groups are kept until one of their buffers is freed.
//
// Weights stay in their quantised blocks: layout.go says how the blocks of each format lie in device memory. A stack of matrices
// that is larger than the largest storage binding of the adapter is split at row borders, and a product runs once per part.
//
// What the native library calls an error becomes a Go error, of Submit if not of the call itself; so does a panic of the
// binding. One case cannot be caught: a driver that loses the device in the middle of a submission makes the native library end
// the process.
//
// The package knows no model: it does what gpu.Pass says, and refuses what gpu's Check functions refuse.
package webgpu

import (
	"fmt"
	"strconv"
	"strings"
)

// Options chooses the adapter. The zero value takes the fastest kind there is: discrete before integrated before software.
type Options struct {
	// Adapter is the number of an adapter in [List] or part of its name, in any case. If it is "", the environment variable
	// SHOAL_ADAPTER says the same.
	Adapter string
	// BindingLimit lowers the size at which matrices are split, in bytes. 0 is the adapter's largest storage binding. It is for
	// tests.
	BindingLimit int64
}

// Adapter describes one way to reach one device.
type Adapter struct {
	Index   int    // for [Options.Adapter]
	Name    string // as the driver names the device
	Backend string // "vulkan", "metal", "d3d12"
	Kind    string // "discrete", "integrated", "software", "other"
	Memory  int64  // bytes of the device's own memory, 0 where unknown
	// BindingLimit and BufferLimit are the largest storage binding and buffer, in bytes.
	BindingLimit, BufferLimit int64
}

// choose returns the position in list of the adapter that wanted means, as [Options.Adapter] describes it.
func choose(list []Adapter, wanted string) (int, error) {
	if len(list) == 0 {
		return 0, fmt.Errorf("no WebGPU adapter: a Vulkan, Metal or Direct3D 12 driver is needed; or use --device cpu")
	}
	if wanted == "" {
		best := 0
		for i, a := range list {
			if rank(a.Kind) < rank(list[best].Kind) {
				best = i
			}
		}
		return best, nil
	}
	if n, err := strconv.Atoi(wanted); err == nil {
		if n < 0 || n >= len(list) {
			return 0, fmt.Errorf("WebGPU adapter %d: there are %d, from 0 on", n, len(list))
		}
		return n, nil
	}
	var names []string
	for i, a := range list {
		if strings.Contains(strings.ToLower(a.Name), strings.ToLower(wanted)) {
			return i, nil
		}
		names = append(names, strconv.Quote(a.Name))
	}
	return 0, fmt.Errorf("WebGPU adapter %q: there are only %s", wanted, strings.Join(names, ", "))
}

func rank(kind string) int {
	for i, k := range []string{"discrete", "integrated", "other", "software"} {
		if k == kind {
			return i
		}
	}
	return 4
}
