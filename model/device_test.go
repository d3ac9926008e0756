package model

import (
	"testing"

	"shoal/gpu"
	"shoal/gpu/cpu"
)

// device is the CPU device that tests run on.
func device(t testing.TB) gpu.Device {
	t.Helper()
	dev := cpu.New(2)
	t.Cleanup(dev.Close)
	return dev
}

// limited is a device that says it has less memory.
type limited struct {
	gpu.Device
	memory int64
}

func (d limited) Info() gpu.Info {
	info := d.Device.Info()
	info.Memory = d.memory
	return info
}
