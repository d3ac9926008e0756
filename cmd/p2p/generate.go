package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/setup"
	"shoal/cmd/internal/swarmmap"
	"shoal/rdrr"
	"shoal/router"
	"shoal/tokenizer"
)

// samplingFlags say how text is continued.
type samplingFlags struct {
	Prompt      string  `help:"Text to continue."`
	PromptIDs   []int   `name:"prompt-ids" placeholder:"ID,..." help:"Token ids to continue instead of a text. A model without a tokenizer takes only these, and answers with ids."`
	MaxTokens   int     `default:"64" placeholder:"N" help:"New tokens at most."`
	Temperature float64 `default:"0.8" placeholder:"T" help:"0 takes the most likely token each time."`
	TopK        int     `default:"0" placeholder:"K" help:"Sample from the K most likely tokens; 0 is all."`
	TopP        float64 `default:"1" placeholder:"P" help:"Sample from the most likely tokens that together reach this probability."`
	Seed        uint64  `default:"0" placeholder:"S" help:"Of the random numbers: the same seed gives the same text."`
}

func (f samplingFlags) sampling() router.Sampling {
	return router.Sampling{Temperature: f.Temperature, TopK: f.TopK, TopP: f.TopP, Seed: f.Seed}
}

type generateCommand struct {
	setup.EngineFlags
	setup.SpeculationFlags
	samplingFlags
	JSON  bool   `help:"Print one JSON object with text, tokens, speed, peers and map instead of streaming text."`
	Stats bool   `help:"Print speed, where the time went, bytes and latency per peer after the text."`
	Trace string `placeholder:"FILE" help:"Write every layer and every call with its times to a file that ui.perfetto.dev shows."`
}

func (c *generateCommand) Help() string {
	return `Alone, and against a swarm:

    p2p generate --model ~/models/qwen3 --prompt "Once upon a time"
    p2p generate --model ~/models/qwen3 --prompt "Once upon a time" --bootstrap /ip4/203.0.113.7/tcp/4001/p2p/12D3Koo...`
}

func (c *generateCommand) Run(ctx context.Context) error {
	engine, err := c.EngineFlags.Open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	if err := engine.Speculate(ctx, c.SpeculationFlags); err != nil {
		return err
	}
	return generate(ctx, engine, c.samplingFlags, output{json: c.JSON, stats: c.Stats, trace: c.Trace})
}

// output is how a generation is shown.
type output struct {
	json, stats, drawMap bool
	trace                string // file, "": none
}

// result is what --json prints of a generation.
type result struct {
	router.Report
	// Predicted is the speed that the round trips, the peers' times and the trunk's, as measured, lead to; left out without a
	// swarm.
	Predicted float64       `json:"predicted_tokens_per_second,omitempty"`
	Error     string        `json:"error,omitempty"`
	Map       *swarmmap.Map `json:"map"` // null without a swarm
}

// generate continues the prompt and prints it as out says.
func generate(ctx context.Context, engine *setup.Engine, f samplingFlags, out output) error {
	spec := engine.Trunk.Spec()
	stop, err := setup.StopTokens(engine.Model, spec)
	if err != nil {
		return err
	}
	tok, prompt, err := f.tokens(engine.Model)
	if err != nil {
		return err
	}
	if room := spec.MaxPositions - len(prompt); room < f.MaxTokens {
		if room < 1 {
			return fmt.Errorf("--prompt: %d tokens, the model's context is %d", len(prompt), spec.MaxPositions)
		}
		console.Warn("--max-tokens %d: only %d fit in the model's context of %d", f.MaxTokens, room, spec.MaxPositions)
		f.MaxTokens = room
	}
	session, err := engine.NewSession(len(prompt) + max(f.MaxTokens, 1))
	if err != nil {
		return err
	}
	defer session.Close()

	stream := newTextStream(tok, os.Stdout, !out.json)
	if !out.json {
		fmt.Fprint(os.Stdout, f.Prompt)
	}
	var trace *traceFile
	traced := ctx
	if out.trace != "" {
		trace = newTraceFile()
		traced = router.WithTracer(ctx, trace)
	}
	report, err := session.Generate(traced, router.Request{
		Prompt: prompt, MaxTokens: f.MaxTokens, Sampling: f.sampling(), Stop: stop, OnToken: stream.token,
	})
	report.Text = stream.end()
	if !out.json {
		fmt.Fprintln(os.Stdout)
	}
	if trace != nil {
		err = errors.Join(err, trace.save(out.trace))
	}
	r := result{Report: report, Predicted: engine.Predict(report), Map: engineMap(engine)}
	if out.json {
		if err != nil {
			r.Error = err.Error()
		}
		if printErr := printJSON(os.Stdout, r); printErr != nil {
			return printErr
		}
		return err
	}
	if err != nil {
		return err
	}
	if out.stats {
		fmt.Fprintln(os.Stdout)
		printStats(os.Stdout, report, r.Predicted)
	}
	if out.drawMap && r.Map != nil {
		fmt.Fprintln(os.Stdout)
		r.Map.Print(os.Stdout)
	}
	return nil
}

// tokens are those of the prompt. The tokenizer is nil if the model has none and the prompt is given as ids.
func (f samplingFlags) tokens(m *rdrr.Model) (tok *tokenizer.Tokenizer, prompt []int, err error) {
	tok, err = setup.Tokenizer(m)
	switch {
	case len(f.PromptIDs) > 0 && f.Prompt != "":
		return nil, nil, errors.New("--prompt and --prompt-ids: give one of them")
	case len(f.PromptIDs) > 0 && errors.Is(err, fs.ErrNotExist):
		return nil, f.PromptIDs, nil
	case err != nil:
		return nil, nil, err
	case len(f.PromptIDs) > 0:
		return tok, f.PromptIDs, nil
	}
	prompt = tok.Encode(f.Prompt, true)
	if len(prompt) == 0 {
		return nil, nil, errors.New("--prompt: the text has no tokens; give it at least one character")
	}
	return tok, prompt, nil
}

// textStream turns tokens into text as they come, and shows it.
type textStream struct {
	decoder *tokenizer.Decoder // nil: the text is the ids
	out     io.Writer
	show    bool
	text    []byte
}

func newTextStream(tok *tokenizer.Tokenizer, out io.Writer, show bool) *textStream {
	s := &textStream{out: out, show: show}
	if tok != nil {
		s.decoder = tok.NewDecoder(true)
	}
	return s
}

func (s *textStream) token(id int) error {
	if s.decoder == nil {
		return s.write(fmt.Sprintf("%d ", id))
	}
	return s.write(s.decoder.Next(id))
}

func (s *textStream) write(text string) error {
	s.text = append(s.text, text...)
	if !s.show || text == "" {
		return nil
	}
	_, err := io.WriteString(s.out, text)
	return err
}

// end flushes and returns the whole text.
func (s *textStream) end() string {
	if s.decoder != nil {
		_ = s.write(s.decoder.Flush())
	}
	return string(s.text)
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
