//go:build cgo

package webgpu

import (
	"os"
	"testing"

	"shoal/gpu"
	"shoal/gpu/gputest"
	"shoal/rdrr/quant"
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

// The suite runs with matrices split at 64 KiB: most of its matrices are smaller, some several times as large.
func TestDevice(t *testing.T) {
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

// Buffers, and bind groups that hold buffers of the device's own, may outlive the device.
func TestClose(t *testing.T) {
	for range 5 {
		d := open(t, Options{})
		buffers := make([]gpu.Buffer, 3)
		for i, kind := range []gpu.Kind{gpu.U32, gpu.F32, gpu.F32} {
			var err error
			if buffers[i], err = d.NewBuffer("test", kind, 64); err != nil {
				t.Fatal(err)
			}
		}
		record := func() gpu.Pass {
			p := d.Begin()
			p.TopK(buffers[0], buffers[1], buffers[2], nil, 1, gpu.Gate{Experts: 64, K: 8})
			return p
		}
		if err := record().Submit(gpu.Readback{From: buffers[1], Floats: make([]float32, 8)}); err != nil {
			t.Fatal(err)
		}
		late := record()
		d.Close()
		d.Close()
		if err := late.Submit(); err == nil {
			t.Error("a pass ran on a closed device")
		}
		if _, err := d.NewBuffer("test", gpu.F32, 1); err == nil {
			t.Error("a buffer on a closed device")
		}
		if err := d.WriteFloats(buffers[1], 0, make([]float32, 1)); err == nil {
			t.Error("a write on a closed device")
		}
		for _, b := range buffers {
			b.Free()
		}
		if n := d.Allocated(); n != 0 {
			t.Errorf("%d bytes left", n)
		}
	}
}

// A card's memory runs out with an error, and the device goes on. Software devices would take the machine's own memory.
func TestOutOfMemory(t *testing.T) {
	d := open(t, Options{})
	if d.info.Memory == 0 {
		t.Skip("no memory of its own, or unknown: the library would take the machine's")
	}
	var list []gpu.Matrix
	defer func() {
		for _, m := range list {
			m.Free()
		}
	}()
	var failure error
	for range 1 << 10 {
		m, err := d.NewMatrix("test", quant.F32, 1, 1<<14, 1<<15)
		if err != nil {
			failure = err
			break
		}
		list = append(list, m)
	}
	if failure == nil {
		t.Skip("2 TiB are not enough")
	}
	t.Logf("after %d GiB: %v", d.Allocated()>>30, failure)
	list[len(list)-1].Free()
	list = list[:len(list)-1]
	b, err := d.NewBuffer("test", gpu.F32, 16)
	if err != nil {
		t.Fatalf("a small buffer after some memory was freed: %v", err)
	}
	if err := d.Begin().Submit(gpu.Readback{From: b, Floats: make([]float32, 16)}); err != nil {
		t.Fatal(err)
	}
}

var _ gpu.Pass = (*Pass)(nil)
