package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/hardware"
	"shoal/cmd/internal/setup"
	"shoal/gpu/webgpu"
	"shoal/internal/report"
)

type gpuInfoCommand struct {
	Threads int  `placeholder:"N" help:"CPU threads that measure the memory (default: all cores)."`
	JSON    bool `help:"Print one JSON object."`
}

func (c *gpuInfoCommand) Help() string {
	return "What each adapter is called is what --device gpu takes by the environment variable SHOAL_ADAPTER, by number or by part of the name."
}

// machine is what gpu-info found.
type machine struct {
	Build    string          `json:"build"`
	Computer report.Computer `json:"computer"`
	Adapters []report.Device `json:"adapters"`
	// NoAdapters says why there are none; "" if there are.
	NoAdapters string `json:"no_adapters,omitempty"`
	Auto       string `json:"auto"` // the device that --device auto takes
	GPU        string `json:"gpu"`  // the device that --device gpu takes, or why it fails
}

func (c *gpuInfoCommand) Run(context.Context) error {
	if c.Threads < 0 {
		return fmt.Errorf("--threads %d: want a positive number", c.Threads)
	}
	m := look(c.Threads)
	if c.JSON {
		return printJSON(os.Stdout, m)
	}
	m.print()
	return nil
}

func look(threads int) *machine {
	m := &machine{Build: setup.Build(), Computer: hardware.Measured(threads), Adapters: []report.Device{}}
	adapters, err := webgpu.List()
	switch {
	case err != nil:
		m.NoAdapters = err.Error()
	case len(adapters) == 0:
		m.NoAdapters = "no Vulkan, Metal or Direct3D 12 driver was found"
	}
	for _, a := range adapters {
		m.Adapters = append(m.Adapters, hardware.Adapter(a))
	}
	m.Auto, m.GPU = taken("auto"), taken("gpu")
	return m
}

// taken opens the device that a flag means, and says which it is.
func taken(flag string) string {
	dev, err := setup.DeviceFlags{Device: flag}.Open()
	if err != nil {
		return err.Error()
	}
	defer dev.Close()
	info := dev.Info()
	return info.Backend + ": " + info.Name
}

func (m *machine) print() {
	c := m.Computer
	fmt.Printf("%s, build %s\n", c.System, m.Build)
	var cpu console.Table
	cpu.Row("CPU", c.CPU)
	cpu.Row("threads", c.Threads)
	if c.MemoryBytes > 0 {
		cpu.Row("memory", console.Bytes(c.MemoryBytes))
	}
	cpu.Row("reads memory at", fmt.Sprintf("%.1f GB/s", c.MemoryBandwidth))
	cpu.Print(os.Stdout)
	for i, a := range m.Adapters {
		fmt.Printf("adapter %d: %s\n", i, a.Name)
		var t console.Table
		t.Row("kind", a.Kind+", "+a.API)
		if a.Driver != "" {
			t.Row("driver", a.Driver)
		}
		t.Row("largest binding", console.Bytes(a.BindingLimitBytes))
		t.Row("largest buffer", console.Bytes(a.BufferLimitBytes))
		t.Print(os.Stdout)
	}
	if m.NoAdapters != "" {
		fmt.Printf("no adapter: %s\n", m.NoAdapters)
	}
	fmt.Printf("--device auto takes %s\n", m.Auto)
	if strings.HasPrefix(m.GPU, "webgpu: ") {
		fmt.Printf("--device gpu takes %s\n", m.GPU)
	} else {
		fmt.Println(m.GPU)
	}
}
