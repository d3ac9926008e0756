package console

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Progress shows how far a long piece of work is: a line that is redrawn on a terminal, and a line every ten seconds
// elsewhere. Work that ends within a second shows nothing. Its methods may be called from several goroutines.
type Progress struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	what     string
	amount   func(int64) string
	started  time.Time
	shown    time.Time
	drawn    bool
}

// NewProgress returns a progress line on standard error for work that is described by what, such as "converting". amount
// writes how much of it is done: [Bytes], or [Count] of something.
func NewProgress(what string, amount func(int64) string) *Progress {
	return &Progress{out: os.Stderr, terminal: term.IsTerminal(int(os.Stderr.Fd())), what: what, amount: amount, started: time.Now()}
}

// Set reports that done of total are finished; detail names what is being worked on.
func (p *Progress) Set(done, total int64, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	every := 100 * time.Millisecond
	if !p.terminal {
		every = 10 * time.Second
	}
	if now.Sub(p.started) < time.Second || now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	rate := float64(done) / now.Sub(p.started).Seconds()
	line := fmt.Sprintf("%s %3.0f %%  %s of %s, %s/s  %s", p.what, 100*float64(done)/float64(max(total, 1)), p.amount(done), p.amount(total), p.amount(int64(rate)), detail)
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", clip(line, 110))
		p.drawn = true
		return
	}
	fmt.Fprintln(p.out, line)
}

// Done removes the line.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}

func clip(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}
