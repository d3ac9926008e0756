// Package hardware tells what this machine has: processor, memory, graphics adapters. It asks the system and the drivers, and
// measures only the memory's speed.
package hardware

import (
	"math"
	"runtime"

	"shoal/cmd/internal/setup"
	"shoal/gpu"
	"shoal/gpu/cpu"
	"shoal/gpu/webgpu"
	"shoal/internal/report"
)

// Computer describes the machine, but for the speed of its memory.
func Computer() report.Computer {
	dev := cpu.New(0)
	defer dev.Close()
	info := dev.Info()
	return report.Computer{System: runtime.GOOS + "/" + runtime.GOARCH, CPU: info.Name, Threads: info.Threads, MemoryBytes: info.Memory}
}

// Measured describes the machine and measures how fast that many threads read its memory, 0 for all cores.
func Measured(threads int) report.Computer {
	c := Computer()
	if threads > 0 {
		c.Threads = threads
	}
	c.MemoryBandwidth = math.Round(setup.MemoryBandwidth(threads)/1e8) / 10
	return c
}

// Device describes an open device. Of several adapters with one name the first is taken: they are alike.
func Device(dev gpu.Device) report.Device {
	info := dev.Info()
	if info.Backend == "cpu" {
		return report.Device{Backend: info.Backend, Name: info.Name}
	}
	adapters, _ := webgpu.List() // the device is one of them
	for _, a := range adapters {
		if a.Name == info.Name {
			return Adapter(a)
		}
	}
	return report.Device{Backend: info.Backend, Name: info.Name, Driver: info.Driver}
}

// Adapter describes an adapter as a device that it can be.
func Adapter(a webgpu.Adapter) report.Device {
	return report.Device{
		Backend: "webgpu", Name: a.Name, API: a.Backend, Kind: a.Kind, Driver: driver(a.Name),
		BindingLimitBytes: a.BindingLimit, BufferLimitBytes: a.BufferLimit,
	}
}
