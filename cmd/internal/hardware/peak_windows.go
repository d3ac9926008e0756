package hardware

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// processMemory is Win32's PROCESS_MEMORY_COUNTERS.
type processMemory struct {
	size, faults                                                                           uint32
	peakWorkingSet, workingSet, peakPaged, paged, peakNonPaged, nonPaged, pagefile, peakPf uintptr
}

var getProcessMemoryInfo = windows.NewLazySystemDLL("kernel32.dll").NewProc("K32GetProcessMemoryInfo")

// PeakMemory is the largest resident size that this process has had, in bytes.
func PeakMemory() int64 {
	counters := processMemory{size: uint32(unsafe.Sizeof(processMemory{}))}
	ok, _, _ := getProcessMemoryInfo.Call(uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&counters)), uintptr(counters.size))
	if ok == 0 {
		return 0
	}
	return int64(counters.peakWorkingSet)
}
