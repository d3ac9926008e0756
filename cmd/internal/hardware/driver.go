package hardware

import (
	"os"
	"regexp"
	"strings"
)

var nvidiaVersion = regexp.MustCompile(`Kernel Module.*?\s([0-9]+(?:\.[0-9]+)+)\s`)

// driver is the version of an adapter's driver where the system tells: NVIDIA's on Linux. WebGPU does not.
func driver(adapter string) string {
	if !strings.HasPrefix(adapter, "NVIDIA") {
		return ""
	}
	text, err := os.ReadFile("/proc/driver/nvidia/version")
	if err != nil {
		return ""
	}
	return nvidia(string(text))
}

// nvidia finds the version in the text of /proc/driver/nvidia/version.
func nvidia(text string) string {
	found := nvidiaVersion.FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return "NVIDIA " + found[1]
}
