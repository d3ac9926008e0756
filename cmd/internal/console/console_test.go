package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Size
		ok   bool
	}{
		{"8GB", 8e9, true}, {"512MB", 512e6, true}, {"1.5GiB", 3 << 29, true}, {"1000", 1000, true}, {"7 kb", 7000, true}, {"2g", 2e9, true},
		{"", 0, false}, {"-1GB", 0, false}, {"lots", 0, false}, {"1e30", 0, false}, {"GB", 0, false},
	} {
		var s Size
		err := s.UnmarshalText([]byte(c.in))
		if (err == nil) != c.ok || (c.ok && s != c.want) {
			t.Errorf("%q: got %d, %v; want %d, ok %v", c.in, s, err, c.want, c.ok)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 18_600_000_000: "18.6 GB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	if got, want := Count("tokens")(18_907), "18.9 k tokens"; got != want {
		t.Errorf("Count = %q, want %q", got, want)
	}
}

func TestCode(t *testing.T) {
	live := context.Background()
	ended, cancel := context.WithCancel(live)
	cancel()
	for _, c := range []struct {
		err  error
		ctx  context.Context
		want int
		says string
	}{
		{nil, live, 0, ""},
		{errors.New("layer 3: no holder"), live, ExitError, "p2p: layer 3: no holder\n"},
		{ErrSilent, live, ExitError, ""},
		{fmt.Errorf("step: %w", context.Canceled), ended, ExitInterrupted, "p2p: interrupted\n"},
	} {
		var out bytes.Buffer
		if got := Code(c.err, c.ctx, "p2p", &out); got != c.want || out.String() != c.says {
			t.Errorf("Code(%v) = %d saying %q, want %d saying %q", c.err, got, out.String(), c.want, c.says)
		}
	}
}
