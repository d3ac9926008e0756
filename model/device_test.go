package model

import (
	"os"
	"testing"

	"shoal/gpu"
	"shoal/gpu/cpu"
	"shoal/gpu/webgpu"
)

// device is the CPU device that tests run on.
func device(t testing.TB) gpu.Device {
	t.Helper()
	dev := cpu.New(2)
	t.Cleanup(dev.Close)
	return dev
}

// onEachDevice runs a test on the CPU and on a graphics adapter, which may only be missing if SHOAL_REQUIRE_GPU is not 1.
func onEachDevice(t *testing.T, test func(t *testing.T, dev gpu.Device)) {
	t.Run("cpu", func(t *testing.T) { test(t, device(t)) })
	t.Run("webgpu", func(t *testing.T) {
		dev, err := webgpu.New(webgpu.Options{})
		if err != nil {
			if os.Getenv("SHOAL_REQUIRE_GPU") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
		t.Cleanup(dev.Close)
		test(t, dev)
	})
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
