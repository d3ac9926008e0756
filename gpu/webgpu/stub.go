//go:build !cgo

package webgpu

import (
	"errors"

	"shoal/gpu"
)

var errNoCgo = errors.New("built without cgo: no WebGPU; use --device cpu")

// New opens a device.
func New(Options) (gpu.Device, error) { return nil, errNoCgo }

// List returns the adapters of this machine.
func List() ([]Adapter, error) { return nil, errNoCgo }
