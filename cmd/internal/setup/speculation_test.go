package setup

import (
	"context"
	"strings"
	"testing"

	"shoal/router"
)

type words []string

func (w words) VocabSize() int { return len(w) }

func (w words) Token(id int) (string, bool) {
	if id >= len(w) || w[id] == "" {
		return "", false
	}
	return w[id], true
}

func TestCompareTokens(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b words
		want string
	}{
		{"equal", words{"a", "b"}, words{"a", "b"}, ""},
		{"a gap in both", words{"a", "", "c"}, words{"a", "", "c"}, ""},
		{"padded with nothing", words{"a", "b"}, words{"a", "b", ""}, ""},
		{"other word", words{"a", "b"}, words{"a", "x"}, `token 1 is "x", in the model "b"`},
		{"fewer", words{"a", "b"}, words{"a"}, `token 1 is none, in the model "b"`},
		{"more", words{"a"}, words{"a", "b"}, `token 1 is "b", in the model none`},
	} {
		err := compareTokens(tt.a, tt.b)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// The embedded model guesses for itself: always right when it takes the most likely token.
func TestSpeculate(t *testing.T) {
	open := func(f SpeculationFlags) (*Engine, error) {
		e, err := EngineFlags{Model: DemoModel, Mode: "exact", DeviceFlags: DeviceFlags{Device: "cpu", Threads: 1}}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		return e, e.Speculate(t.Context(), f)
	}
	for flags, want := range map[SpeculationFlags]string{
		{Speculate: "some"}: "want auto, off, or a number", {Speculate: "0"}: "want auto", {Speculate: "99"}: "from 1 to",
		{Speculate: "off", Draft: DemoModel}: "nothing is guessed", {Speculate: "auto", Draft: "no such folder"}: "--draft",
	} {
		if _, err := open(flags); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", flags, err, want)
		}
	}
	e, err := open(SpeculationFlags{Speculate: "3", Draft: DemoModel})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.NewSession(64)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	text, err := generateTokens(t.Context(), s, 24)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := open(SpeculationFlags{Speculate: "off"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plain.NewSession(64)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want, err := generateTokens(t.Context(), p, 24)
	if err != nil || len(want.Tokens) != 24 || want.Drafted != 0 {
		t.Fatalf("%+v, %v", want, err)
	}
	for i, token := range want.Tokens {
		if text.Tokens[i] != token {
			t.Fatalf("token %d: %v, plain %v", i, text.Tokens, want.Tokens)
		}
	}
	if text.Accepted == 0 || text.DraftError != "" {
		t.Errorf("%d of %d guesses right, %q", text.Accepted, text.Drafted, text.DraftError)
	}
}

func generateTokens(ctx context.Context, s *Session, n int) (router.Report, error) {
	return s.Generate(ctx, router.Request{Prompt: []int{3, 14, 15, 9, 2, 6}, MaxTokens: n})
}
