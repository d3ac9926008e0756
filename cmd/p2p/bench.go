package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/setup"
	"shoal/internal/report"
)

type benchCommand struct {
	setup.EngineFlags
	PromptTokens int    `default:"512" placeholder:"N" help:"Tokens of the prompt."`
	Tokens       int    `default:"64" placeholder:"N" help:"Tokens to decode after it."`
	Runs         int    `default:"3" placeholder:"N" help:"Measured runs after one to warm up; medians are shown."`
	Report       string `placeholder:"FILE" help:"Also note what was run, where, how fast and in how much memory in a JSON file, as p2p test does."`
	JSON         bool   `help:"Print one JSON object."`
}

func (c *benchCommand) Help() string {
	return "Example:\n\n    p2p bench --model ~/models/qwen3 --device cpu --threads 2 --prompt-tokens 512 --tokens 64"
}

// measurement is what bench found.
type measurement struct {
	Model               string  `json:"model"`
	Device              string  `json:"device"`
	Threads             int     `json:"threads"`
	PromptTokens        int     `json:"prompt_tokens"`
	DecodeTokens        int     `json:"decode_tokens"`
	Runs                int     `json:"runs"`
	PrefillPerSecond    float64 `json:"prefill_tokens_per_second"`
	DecodePerSecond     float64 `json:"decode_tokens_per_second"`
	WeightBytesPerToken int64   `json:"weight_bytes_per_token"`
	WeightBandwidth     float64 `json:"weight_bandwidth_gbps"` // weights read per second while decoding
	MemoryBandwidth     float64 `json:"memory_bandwidth_gbps"` // as measured here: reading host memory with the CPU's threads
	BandwidthShare      float64 `json:"bandwidth_share"`       // of the memory bandwidth, on the CPU; 0 on a GPU
	DeviceBytes         int64   `json:"device_bytes"`
	ComputedBytes       int64   `json:"computed_bytes"` // weights, KV cache and working memory, from the shapes; of the whole model
}

func (c *benchCommand) Run(ctx context.Context) error {
	if c.PromptTokens < 1 || c.Tokens < 1 || c.Runs < 1 {
		return fmt.Errorf("--prompt-tokens, --tokens and --runs: want at least 1")
	}
	engine, err := c.EngineFlags.Open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	var run report.Run
	if c.Report != "" {
		if run, err = measureRun(ctx, engine, c.Mode, c.Report); err != nil {
			return err
		}
	}
	m, err := c.measure(ctx, engine)
	if err != nil {
		return err
	}
	if c.Report != "" {
		if err := c.writeReport(engine, run, m); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(os.Stdout, m)
	}
	fmt.Printf("%s on %s\n", c.Model, m.Device)
	var t console.Table
	t.Row(fmt.Sprintf("prefill of %d tokens", m.PromptTokens), fmt.Sprintf("%.1f tokens/s", m.PrefillPerSecond))
	t.Row(fmt.Sprintf("decode of %d tokens", m.DecodeTokens), fmt.Sprintf("%.1f tokens/s", m.DecodePerSecond))
	t.Row("weights read per token", console.Bytes(m.WeightBytesPerToken))
	t.Row("weights read while decoding", fmt.Sprintf("%.1f GB/s", m.WeightBandwidth))
	t.Row("memory bandwidth of the CPU", fmt.Sprintf("%.1f GB/s", m.MemoryBandwidth))
	t.Row("device memory", fmt.Sprintf("%s (computed %s)", console.Bytes(m.DeviceBytes), console.Bytes(m.ComputedBytes)))
	t.Print(os.Stdout)
	return nil
}

func (c *benchCommand) measure(ctx context.Context, engine *setup.Engine) (*measurement, error) {
	spec, info := engine.Trunk.Spec(), engine.Device.Info()
	if need := c.PromptTokens + c.Tokens; need > spec.MaxPositions {
		return nil, fmt.Errorf("--prompt-tokens %d and --tokens %d: the model's context is %d", c.PromptTokens, c.Tokens, spec.MaxPositions)
	}
	_, active := setup.WeightBytes(engine.Model, spec)
	m := &measurement{
		Model: engine.Model.Digest().String(), Device: info.Backend + ": " + info.Name, Threads: info.Threads,
		PromptTokens: c.PromptTokens, DecodeTokens: c.Tokens, Runs: c.Runs,
		WeightBytesPerToken: active, MemoryBandwidth: setup.MemoryBandwidth(c.Threads) / 1e9,
	}
	session, err := engine.NewSession(c.PromptTokens + c.Tokens)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	prompt := make([]int, c.PromptTokens)
	for i := range prompt {
		prompt[i] = rng.IntN(spec.Vocab)
	}
	var prefill, decode []float64
	for run := range c.Runs + 1 {
		p, d, err := c.once(ctx, session, prompt, rng, spec.Vocab)
		if err != nil {
			return nil, err
		}
		if run > 0 { // the first warms up
			prefill, decode = append(prefill, p), append(decode, d)
		}
	}
	m.PrefillPerSecond, m.DecodePerSecond = median(prefill), median(decode)
	m.WeightBandwidth = m.DecodePerSecond * float64(active) / 1e9
	if info.Backend == "cpu" {
		m.BandwidthShare = m.WeightBandwidth / m.MemoryBandwidth
	}
	m.DeviceBytes = engine.Device.Allocated()
	m.ComputedBytes = engine.ComputedBytes(c.PromptTokens+c.Tokens, c.PromptTokens)
	return m, nil
}

// once is one run: tokens per second of the prompt, and of decoding random tokens after it. The tokens do not depend on
// the logits, so that every device does the same work.
func (c *benchCommand) once(ctx context.Context, session *setup.Session, prompt []int, rng *rand.Rand, vocab int) (prefill, decode float64, err error) {
	if err := session.Truncate(0); err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if _, err := session.Step(ctx, prompt); err != nil {
		return 0, 0, err
	}
	prefill = float64(len(prompt)) / time.Since(start).Seconds()
	start = time.Now()
	for range c.Tokens {
		if _, err := session.Best(ctx, []int{rng.IntN(vocab)}); err != nil {
			return 0, 0, err
		}
	}
	return prefill, float64(c.Tokens) / time.Since(start).Seconds(), nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
