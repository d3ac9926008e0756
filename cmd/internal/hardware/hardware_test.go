package hardware

import (
	"runtime"
	"testing"

	"shoal/gpu/cpu"
)

func TestNvidiaDriver(t *testing.T) {
	for text, want := range map[string]string{
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\nGCC version: gcc 11.4.0\n":  "NVIDIA 535.129.03",
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (builder@host)  Thu Jan 23 2025\n": "NVIDIA 570.86.15",
		"something else": "",
	} {
		if got := nvidia(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestComputer(t *testing.T) {
	c := Measured(1)
	if c.Threads != 1 || !(c.MemoryBandwidth > 0.1) || c.System != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("%+v", c)
	}
	dev := cpu.New(1)
	defer dev.Close()
	if d := Device(dev); d.Backend != "cpu" || d.Name != c.CPU {
		t.Errorf("%+v on %+v", d, c)
	}
}

func TestPeakMemoryGrows(t *testing.T) {
	before := PeakMemory()
	if before == 0 {
		t.Skip("unknown on this system")
	}
	const more = 256 << 20
	memory := make([]byte, more)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	if after := PeakMemory(); after < before+more/2 {
		t.Errorf("%d bytes, then %d with %d more in use", before, after, more)
	}
	runtime.KeepAlive(memory)
}
