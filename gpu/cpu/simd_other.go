//go:build !amd64 || purego

package cpu

var available []*kernels

func pause() {}
