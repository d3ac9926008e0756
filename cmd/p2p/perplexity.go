package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/setup"
)

type perplexityCommand struct {
	setup.EngineFlags
	Text   string `required:"" placeholder:"FILE" help:"Text to score."`
	Window int    `default:"512" placeholder:"N" help:"Tokens per window; windows do not see each other, and a last one that is not full is not scored unless it is the only one."`
	JSON   bool   `help:"Print one JSON object."`
}

func (c *perplexityCommand) Help() string {
	return "Example:\n\n    p2p perplexity --model ~/models/qwen3 --text book.txt"
}

// score is the result of a perplexity run. The first token of each window is not scored.
type score struct {
	Perplexity      float64 `json:"perplexity"`
	NegLogLikely    float64 `json:"nll"` // mean negative log likelihood of a token, in nats
	Tokens          int     `json:"tokens"`
	Windows         int     `json:"windows"`
	Window          int     `json:"window"`
	TokensPerSecond float64 `json:"tokens_per_second"`
}

func (c *perplexityCommand) Run(ctx context.Context) error {
	text, err := os.ReadFile(c.Text)
	if err != nil {
		return fmt.Errorf("--text: %w", err)
	}
	engine, err := c.EngineFlags.Open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	tok, err := setup.Tokenizer(engine.Model)
	if err != nil {
		return err
	}
	if context := engine.Trunk.Spec().MaxPositions; c.Window < 2 || c.Window > context {
		return fmt.Errorf("--window %d: want 2 to %d, the model's context", c.Window, context)
	}
	tokens := tok.Encode(string(text), false)
	if len(tokens) < 2 {
		return fmt.Errorf("--text %s: %d tokens, want at least 2", c.Text, len(tokens))
	}
	result, err := c.score(ctx, engine, tokens)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, result)
	}
	fmt.Printf("perplexity %.4f over %d tokens in %d windows of %d, %.0f tokens/s\n", result.Perplexity, result.Tokens, result.Windows, result.Window, result.TokensPerSecond)
	return nil
}

func (c *perplexityCommand) score(ctx context.Context, engine *setup.Engine, tokens []int) (*score, error) {
	window := min(c.Window, len(tokens))
	session, err := engine.NewSession(window)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	progress := console.NewProgress("scoring", console.Count("tokens"))
	defer progress.Done()
	start := time.Now()
	s := &score{Window: window}
	total := 0.0
	for at := 0; at+window <= len(tokens); at += window {
		nll, err := windowNLL(ctx, session, tokens[at:at+window], engine.Trunk.Rows())
		if err != nil {
			return nil, err
		}
		total += nll
		s.Tokens += window - 1
		s.Windows++
		progress.Set(int64(at+window), int64(len(tokens)), "")
	}
	s.NegLogLikely = total / float64(s.Tokens)
	s.Perplexity = math.Exp(s.NegLogLikely)
	s.TokensPerSecond = float64(s.Tokens+s.Windows) / time.Since(start).Seconds()
	return s, nil
}

// windowNLL is the sum over a window of -log p(token | the tokens before it), without the first token.
func windowNLL(ctx context.Context, session *setup.Session, window []int, rows int) (float64, error) {
	if err := session.Truncate(0); err != nil {
		return 0, err
	}
	total := 0.0
	for at := 0; at < len(window); at += rows {
		chunk := window[at:min(at+rows, len(window))]
		logits, err := session.Score(ctx, chunk)
		if err != nil {
			return 0, err
		}
		vocab := len(logits) / len(chunk)
		for i := range chunk {
			if next := at + i + 1; next < len(window) {
				total -= logProbability(logits[i*vocab:(i+1)*vocab], window[next])
			}
		}
	}
	return total, nil
}

// logProbability is log softmax(logits)[token].
func logProbability(logits []float32, token int) float64 {
	largest := float64(logits[0])
	for _, v := range logits {
		largest = max(largest, float64(v))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - largest)
	}
	return float64(logits[token]) - largest - math.Log(sum)
}
