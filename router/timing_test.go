package router

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"shoal/experts"
)

const ms = time.Millisecond

func TestSizeClass(t *testing.T) {
	for slots, want := range map[int]int{0: 0, 1: 0, 8: 0, 16: 0, 17: 1, 128: 1, 129: 2, 1024: 2, 1025: 3, 1 << 20: 3} {
		if got := sizeClass(slots); got != want {
			t.Errorf("%d slots are of class %d, want %d", slots, got, want)
		}
	}
}

func TestCallDeadline(t *testing.T) {
	l := Limits{}.withDefaults()
	for _, tt := range []struct {
		name         string
		p95          time.Duration
		calls, slots int
		want         time.Duration
	}{
		{"a new peer has the whole time", 0, 0, 8, 2160 * ms},
		{"a few calls are not enough to know", ms, 7, 8, 2160 * ms},
		{"a fast peer has an eighth of it", ms, 100, 8, 270 * ms},
		{"a slower one four times its p95 and a bit", 100 * ms, 100, 8, 450 * ms},
		{"never more than the whole", time.Second, 100, 8, 2160 * ms},
		{"a prompt has longer", 0, 0, 1000, 22 * time.Second},
	} {
		if got := l.callDeadline(tt.p95, tt.calls, tt.slots); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestHedgeAfter(t *testing.T) {
	for _, tt := range []struct {
		p95   time.Duration
		calls int
		want  time.Duration
		ok    bool
	}{
		{10 * ms, 0, 0, false}, {10 * ms, 15, 0, false}, {8 * ms, 16, 9 * ms, true}, {100 * time.Microsecond, 16, 500 * time.Microsecond, true},
	} {
		if got, ok := hedgeAfter(tt.p95, tt.calls); got != tt.want || ok != tt.ok {
			t.Errorf("p95 %v of %d calls: %v, %v; want %v, %v", tt.p95, tt.calls, got, ok, tt.want, tt.ok)
		}
	}
}

func TestMayHedge(t *testing.T) {
	for _, tt := range []struct {
		hedges, extra, calls int
		want                 bool
	}{
		{0, 1, 0, true}, {0, 4, 0, true}, {0, 5, 0, false}, {4, 1, 19, false}, {4, 1, 20, true}, {53, 1, 1000, true}, {54, 1, 1000, false},
	} {
		if got := mayHedge(tt.hedges, tt.extra, tt.calls); got != tt.want {
			t.Errorf("%d more after %d of %d calls: %v", tt.extra, tt.hedges, tt.calls, got)
		}
	}
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: 0, 1: 250 * ms, 2: 500 * ms, 5: 4 * time.Second, 8: 30 * time.Second, 1000: 30 * time.Second} {
		if got := backoff(failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
	}
	for _, tt := range []struct {
		failures int
		quiet    time.Duration
		want     int
	}{{3, 0, 3}, {3, 14 * time.Second, 3}, {3, 15 * time.Second, 2}, {3, time.Hour, 0}, {0, time.Hour, 0}} {
		if got := decayed(tt.failures, tt.quiet); got != tt.want {
			t.Errorf("%d failures after %v: %d, want %d", tt.failures, tt.quiet, got, tt.want)
		}
	}
	for n, want := range map[int]time.Duration{0: 25 * ms, 1: 50 * ms, 4: 400 * ms, 100: 400 * ms} {
		if got := retryPause(n); got != want {
			t.Errorf("pause %d: %v, want %v", n, got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want verdict
	}{
		{experts.ErrNotHeld, moveOnNow}, {experts.ErrWrongModel, moveOnNow}, {experts.ErrBadReply, moveOnNow}, {experts.ErrInternal, moveOnNow},
		{experts.ErrGone, moveOn}, {experts.ErrBusy, moveOn}, {experts.ErrDeadline, moveOn},
		{experts.ErrTooLarge, split},
		{experts.ErrBadRequest, giveUp}, {context.Canceled, giveUp},
		{errors.New("something else"), moveOnNow},
	} {
		if got := judge(fmt.Errorf("peer: %w", tt.err)); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestWindow(t *testing.T) {
	var w window
	for i := range 20 {
		w.add(time.Duration(i+1) * ms)
	}
	if w.p50 != 11*ms || w.p95 != 20*ms {
		t.Errorf("of 1 to 20 ms: p50 %v, p95 %v", w.p50, w.p95)
	}
	for range 200 {
		w.add(ms)
	}
	if w.p50 != ms || w.p95 != ms || w.count != 220 {
		t.Errorf("old calls are not forgotten: p50 %v, p95 %v, count %d", w.p50, w.p95, w.count)
	}
}

func TestHealth(t *testing.T) {
	var h health
	now := time.Unix(1000, 0)
	if h.expected("a", 0, now) != 0 || h.resting("a", now) {
		t.Error("an unknown peer should look fast and well")
	}
	h.succeeded("a", 0, 5*ms, now)
	if got := h.expected("a", 0, now.Add(time.Second)); got != 5*ms {
		t.Errorf("expected %v after one call of 5 ms", got)
	}
	if h.expected("a", 1, now) != 0 {
		t.Error("a small call says nothing of large ones")
	}
	if h.expected("a", 0, now.Add(time.Minute)) != 0 {
		t.Error("an old measurement should not count")
	}
	h.failed("a", now)
	if !h.resting("a", now.Add(200*ms)) || h.resting("a", now.Add(300*ms)) {
		t.Error("a first failure rests 250 ms")
	}
	h.failed("a", now)
	if !h.resting("a", now.Add(400*ms)) {
		t.Error("a second failure rests 500 ms")
	}
	h.succeeded("a", 0, ms, now)
	if h.resting("a", now.Add(ms)) {
		t.Error("an answer ends the rest")
	}
	h.abandoned("a", 0, 100*time.Microsecond, now)
	if got := h.peers["a"].latency[0].count; got != 2 {
		t.Errorf("a call cut short before its usual time was counted: %d", got)
	}
	h.abandoned("a", 0, time.Second, now)
	if got := h.peers["a"].latency[0].p95; got != time.Second {
		t.Errorf("a call given up after 1 s leaves p95 at %v", got)
	}
}
