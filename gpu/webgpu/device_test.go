//go:build cgo

package webgpu

import (
	"os"
	"testing"

	"shoal/gpu"
	"shoal/gpu/gputest"
	"shoal/shaders"
)

// open returns a device, or skips the test if the machine has none and SHOAL_REQUIRE_GPU is not 1.
func open(t testing.TB, o Options) *Device {
	t.Helper()
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 && os.Getenv("SHOAL_REQUIRE_GPU") != "1" {
		t.Skip("no WebGPU adapter")
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d.(*Device)
}

func TestDevice(t *testing.T) {
	gputest.Run(t, open(t, Options{}))
}

// Matrices are split at 64 KiB.
func TestDeviceSplit(t *testing.T) {
	gputest.Run(t, open(t, Options{BindingLimit: 64 << 10}))
}

func TestVariantsCompile(t *testing.T) {
	d := open(t, Options{})
	variants := shaders.Variants()
	if testing.Short() {
		variants = variants[:8]
	}
	for _, v := range variants {
		if err := d.call(func() error { _, err := d.kernel(v); return err }); err != nil {
			t.Errorf("%v", err)
		}
	}
}

var _ gpu.Pass = (*Pass)(nil)
