package main

import (
	"context"
	"fmt"
	"os"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/setup"
	"shoal/internal/report"
	"shoal/model"
	"shoal/router"
)

type testCommand struct {
	setup.EngineFlags
	Reference string  `placeholder:"FILE" help:"What a trusted implementation computed: a safetensors file with input_ids, logits and more, or a JSON file with prompt_ids and greedy_ids beside one. Default: the artifact's own weights in float32."`
	Tolerance float64 `placeholder:"NMSE" help:"Largest normalised mean squared error of logits and hidden states (default 1e-6)."`
	Chunk     int     `placeholder:"N" help:"Feed the input N tokens at a time (default: all at once)."`
	Verbose   bool    `help:"Also show every hidden state."`
	Report    string  `placeholder:"FILE" help:"Also note what was run, where, how fast, in how much memory and how well in a JSON file, which may hold earlier runs on the same device."`
	JSON      bool    `help:"Print one JSON object."`
}

func (c *testCommand) Help() string {
	return "Example:\n\n    p2p test --model ~/models/tiny --reference ~/checkpoints/tiny/reference.safetensors --device gpu"
}

func (c *testCommand) Run(ctx context.Context) error {
	c.Mode = router.Exact.String()
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
	var reference *model.Reference
	if c.Reference != "" {
		reference, err = readReference(c.Reference)
	} else {
		reference, err = ownReference(ctx, engine, c.Threads)
	}
	if err != nil {
		return err
	}
	subject := engine.Subject()
	subject.Chunk = c.Chunk
	found, err := model.Verify(ctx, subject, reference, c.Tolerance)
	if err != nil {
		return err
	}
	if c.Report != "" {
		if err := c.writeReport(engine, run, reference, found); err != nil {
			return err
		}
	}
	if c.JSON {
		err = printJSON(os.Stdout, found)
	} else {
		c.print(found)
	}
	if err == nil && !found.OK {
		return console.ErrSilent
	}
	return err
}

func (c *testCommand) print(r *model.Report) {
	fmt.Printf("%s on %s\n", c.Model, r.Device)
	var t console.Table
	t.Row("", "NMSE", "largest error")
	t.Row("logits", fmt.Sprintf("%.2g", r.LogitsNMSE), fmt.Sprintf("%.2g", r.LogitsMaxError))
	for i := range r.HiddenNMSE {
		if c.Verbose || r.HiddenNMSE[i] > r.Tolerance {
			t.Row(fmt.Sprintf("hidden state %d", i), fmt.Sprintf("%.2g", r.HiddenNMSE[i]), fmt.Sprintf("%.2g", r.HiddenMaxError[i]))
		}
	}
	t.Row("worst hidden state", fmt.Sprintf("%.2g", r.WorstHidden), "")
	t.Print(os.Stdout)
	fmt.Printf("best token the same in %.1f %% of rows; greedy text the same for %d of %d tokens\n", 100*r.Top1Agreement, r.GreedyAgreed, r.GreedyTotal)
	if r.OK {
		fmt.Printf("within the tolerance of %.2g\n", r.Tolerance)
		return
	}
	fmt.Printf("OUT OF TOLERANCE: %.2g is allowed\n", r.Tolerance)
}
