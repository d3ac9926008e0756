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
	Int8    bool   `name:"int8" help:"On the CPU, round activations to 8 bits where weights have blocks: faster, and a little less exact."`
}

// Open returns the device that the flags ask for. auto takes a hardware GPU if one is found and the CPU otherwise; gpu also
// accepts a software adapter such as lavapipe.
func (f DeviceFlags) Open() (gpu.Device, error) {
	if f.Threads < 0 {
		return nil, fmt.Errorf("--threads %d: want a positive number", f.Threads)
	}
	switch f.Device {
	case "cpu":
		return f.cpu(), nil
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
	return f.cpu(), nil
}

func (f DeviceFlags) cpu() gpu.Device { return cpu.Open(cpu.Options{Threads: f.Threads, Int8: f.Int8}) }

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
