package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"shoal/cmd/internal/hardware"
	"shoal/cmd/internal/setup"
	"shoal/gpu"
	"shoal/internal/report"
	"shoal/model"
)

// Size of the run whose speed and memory a report states.
const (
	reportPrompt = 32
	reportDecode = 16
)

// measureRun describes an engine's model for a report that goes to file, and runs it over a few random tokens. It comes before
// anything that takes memory of its own, since the process's peak cannot be set back.
func measureRun(ctx context.Context, engine *setup.Engine, mode, file string) (report.Run, error) {
	in, err := inspect(engine.Model)
	if err != nil {
		return report.Run{}, err
	}
	run := report.Run{
		Artifact: in.Name, Family: in.Architecture, Digest: in.Model, Quantization: in.Quantization,
		Formats: strings.Join(in.formatNames(), ", "), Parameters: in.Parameters, Layers: in.Layers,
		Mode: report.Alone, Threads: engine.Device.Info().Threads, Build: setup.Build(), Date: time.Now().UTC().Format(time.DateOnly),
	}
	if engine.Remote() {
		run.Mode = mode
	}
	if err := report.Fits(file, hardware.Computer(), hardware.Device(engine.Device)); err != nil {
		return run, fmt.Errorf("--report: %w", err)
	}
	peak := watchPeak(engine.Device)
	defer peak.stop()
	spec := engine.Trunk.Spec()
	decode := min(reportDecode, spec.MaxPositions/2)
	prompt := make([]int, min(reportPrompt, spec.MaxPositions-decode))
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range prompt {
		prompt[i] = rng.IntN(spec.Vocab)
	}
	session, err := engine.NewSession(len(prompt) + decode)
	if err != nil {
		return run, err
	}
	defer session.Close()
	bench := benchCommand{Tokens: decode}
	var speed report.Speed
	for range 2 { // the first warms up
		p, d, err := bench.once(ctx, session, prompt, rng, spec.Vocab)
		if err != nil {
			return run, err
		}
		speed = report.Speed{PromptTokens: len(prompt), DecodeTokens: decode, PrefillPerSecond: rounded(p), DecodePerSecond: rounded(d)}
	}
	run.Speed = &speed
	if !engine.Remote() { // elsewhere, the weights here are not the model's
		run.Memory = &report.Memory{
			Positions: len(prompt) + decode, WeightBytes: in.WeightBytes, CacheBytes: spec.CacheBytes(len(prompt) + decode),
			DevicePeak: peak.stop(), ProcessPeak: hardware.PeakMemory(),
		}
	}
	return run, nil
}

// writeReport completes a run with what the comparison found, and adds it to the file.
func (c *testCommand) writeReport(engine *setup.Engine, run report.Run, reference *model.Reference, r *model.Report) error {
	run.Check = &report.Check{
		Reference: report.OwnWeights, Tokens: len(reference.Inputs), Chunk: c.Chunk, OK: r.OK, Tolerance: r.Tolerance,
		LogitsNMSE: rounded(r.LogitsNMSE), WorstHiddenNMSE: rounded(r.WorstHidden),
		Top1Agreement: rounded(r.Top1Agreement), RouterAgreement: rounded(r.RouterAgreement),
		GreedyAgreed: r.GreedyAgreed, GreedyTotal: r.GreedyTotal,
	}
	if c.Reference != "" {
		run.Check.Reference = lastFolders(c.Reference)
	}
	return addRun(c.Report, engine, run)
}

// writeReport adds a run to the file, with the speed that bench measured and compared with nothing.
func (c *benchCommand) writeReport(engine *setup.Engine, run report.Run, m *measurement) error {
	run.Speed = &report.Speed{
		PromptTokens: m.PromptTokens, DecodeTokens: m.DecodeTokens,
		PrefillPerSecond: rounded(m.PrefillPerSecond), DecodePerSecond: rounded(m.DecodePerSecond),
	}
	return addRun(c.Report, engine, run)
}

func addRun(file string, engine *setup.Engine, run report.Run) error {
	if err := report.Add(file, hardware.Measured(0), hardware.Device(engine.Device), run); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return nil
}

// lastFolders is the end of a path, which says what the reference is and not where it lies.
func lastFolders(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	parts := strings.Split(filepath.ToSlash(abs), "/")
	return strings.Join(parts[max(len(parts)-3, 0):], "/")
}

// rounded keeps three digits: more would only make two runs look different.
func rounded(x float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 3, 64), 64)
	if err != nil {
		return x
	}
	return r
}

// peakWatch samples how much memory a device has given out.
type peakWatch struct {
	dev  gpu.Device
	end  chan struct{}
	done chan int64
	most int64 // once stopped
}

func watchPeak(dev gpu.Device) *peakWatch {
	w := &peakWatch{dev: dev, end: make(chan struct{}), done: make(chan int64, 1)}
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		most := dev.Allocated()
		for {
			select {
			case <-w.end:
				w.done <- max(most, dev.Allocated())
				return
			case <-tick.C:
				most = max(most, dev.Allocated())
			}
		}
	}()
	return w
}

// stop ends the sampling and returns the most. It may be called again.
func (w *peakWatch) stop() int64 {
	if w.end != nil {
		close(w.end)
		w.most, w.end = <-w.done, nil
	}
	return w.most
}
