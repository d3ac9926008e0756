//go:build !linux && !darwin && !windows

package cpu

func hostMemory() int64 { return 0 }

func hostName() string { return "" }
