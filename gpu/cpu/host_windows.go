package cpu

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// memoryStatus is Win32's MEMORYSTATUSEX.
type memoryStatus struct {
	length, load                                                                    uint32
	totalPhys, availPhys, totalPage, availPage, totalVirt, availVirt, availExtended uint64
}

var globalMemoryStatus = windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")

func hostMemory() int64 {
	status := memoryStatus{length: uint32(unsafe.Sizeof(memoryStatus{}))}
	if ok, _, _ := globalMemoryStatus.Call(uintptr(unsafe.Pointer(&status))); ok == 0 {
		return 0
	}
	return int64(status.totalPhys)
}

func hostName() string { return os.Getenv("PROCESSOR_IDENTIFIER") }
