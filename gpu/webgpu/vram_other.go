//go:build cgo && !linux

package webgpu

// deviceMemory is the memory in bytes of the device that an adapter names, 0 where unknown.
func deviceMemory(Adapter) int64 { return 0 }
