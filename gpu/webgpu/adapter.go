//go:build cgo

package webgpu

import (
	"errors"
	"fmt"
	"os"

	"github.com/cogentcore/webgpu/wgpu"

	"shoal/gpu"
)

// List returns the adapters of this machine. An empty list is no error.
func List() (list []Adapter, err error) {
	defer recovered(&err)
	for i, a := range instance().EnumerateAdapters(nil) {
		list = append(list, describe(i, a))
		a.Release()
	}
	return list, nil
}

// New opens a device.
func New(o Options) (dev gpu.Device, err error) {
	defer recovered(&err)
	adapters := instance().EnumerateAdapters(nil)
	var list []Adapter
	for i, a := range adapters {
		list = append(list, describe(i, a))
	}
	defer func() {
		for _, a := range adapters {
			a.Release()
		}
	}()
	if o.Adapter == "" {
		o.Adapter = os.Getenv("SHOAL_ADAPTER")
	}
	n, err := choose(list, o.Adapter)
	if err != nil {
		return nil, err
	}
	raw, err := request(adapters[n])
	if err != nil {
		return nil, fmt.Errorf("WebGPU adapter %d (%s): %w", n, list[n].Name, err)
	}
	d, err := newDevice(raw, list[n], o.BindingLimit)
	if err != nil {
		return nil, fmt.Errorf("WebGPU adapter %d (%s): %w", n, list[n].Name, err)
	}
	return d, nil
}

// request opens the adapter with the default limits but for the sizes of buffers and bindings. Some drivers grant fewer than
// they report, and so the attempts ask for less and less.
func request(a *wgpu.Adapter) (*wgpu.Device, error) {
	most := a.GetLimits().Limits
	buffers := wgpu.DefaultLimits()
	buffers.MaxBufferSize = min(most.MaxBufferSize, 1<<36)
	buffers.MaxStorageBufferBindingSize = most.MaxStorageBufferBindingSize
	small := buffers
	small.MaxBufferSize = max(1<<28, min(most.MaxBufferSize, most.MaxStorageBufferBindingSize))
	for _, limits := range []wgpu.Limits{buffers, small, wgpu.DefaultLimits()} {
		if d, err := a.RequestDevice(&wgpu.DeviceDescriptor{RequiredLimits: &wgpu.RequiredLimits{Limits: limits}}); err == nil {
			return d, nil
		}
	}
	return nil, errors.New("the driver grants no device, not even with default limits")
}

func describe(i int, a *wgpu.Adapter) Adapter {
	info, limits := a.GetInfo(), a.GetLimits().Limits
	kind := "other"
	switch info.AdapterType {
	case wgpu.AdapterTypeDiscreteGPU:
		kind = "discrete"
	case wgpu.AdapterTypeIntegratedGPU:
		kind = "integrated"
	case wgpu.AdapterTypeCPU:
		kind = "software"
	}
	d := Adapter{
		// The library's fields are one off from the binding's: the device's name arrives as the description, and the
		// driver's not at all.
		Index: i, Name: info.DriverDescription, Backend: info.BackendType.String(), Kind: kind,
		BindingLimit: clampInt(limits.MaxStorageBufferBindingSize), BufferLimit: clampInt(limits.MaxBufferSize),
	}
	d.Memory = deviceMemory(d)
	return d
}

func clampInt(v uint64) int64 { return int64(min(v, 1<<62)) }
