package setup

import (
	"fmt"
	"strconv"

	"shoal/gpu"
	"shoal/gpu/cpu"
	"shoal/gpu/webgpu"
)

// DeviceFlags choose where the arithmetic runs.
type DeviceFlags struct {
	Device  string `enum:"auto,gpu,cpu" default:"auto" help:"Where to compute: auto (a hardware GPU if there is one), gpu, or cpu."`
	Threads int    `help:"CPU threads (default: all cores)." placeholder:"N"`
}

// Open returns the device that the flags ask for. auto takes a hardware GPU if one is found and the CPU otherwise; gpu also
// accepts a software adapter such as lavapipe.
func (f DeviceFlags) Open() (gpu.Device, error) {
	if f.Threads < 0 {
		return nil, fmt.Errorf("--threads %d: want a positive number", f.Threads)
	}
	switch f.Device {
	case "cpu":
		return cpu.New(f.Threads), nil
	case "gpu":
		dev, err := webgpu.New(webgpu.Options{})
		if err != nil {
			return nil, fmt.Errorf("--device gpu: %w", err)
		}
		return dev, nil
	}
	if adapter, ok := hardware(); ok {
		if dev, err := webgpu.New(webgpu.Options{Adapter: strconv.Itoa(adapter)}); err == nil {
			return dev, nil
		}
	}
	return cpu.New(f.Threads), nil
}

// hardware finds the adapter that auto takes: a GPU of its own before one that shares the processor's memory, never a
// driver that runs on the processor, since the CPU device does that better.
func hardware() (adapter int, ok bool) {
	adapters, err := webgpu.List()
	if err != nil {
		return 0, false
	}
	for _, kind := range []string{"discrete", "integrated"} {
		for _, a := range adapters {
			if a.Kind == kind {
				return a.Index, true
			}
		}
	}
	return 0, false
}
