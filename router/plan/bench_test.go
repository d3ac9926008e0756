package plan

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkPlan plans for Qwen3-30B-A3B shapes and peers that hold all of it, or a sixteenth of it each.
func BenchmarkPlan(b *testing.B) {
	for _, c := range []struct{ peers, share int }{{4, 128}, {8, 128}, {16, 128}, {32, 8}} {
		m := qwen()
		s := Swarm{Model: m, Wire: bf16(2048), Self: coordinator()}
		for i := range c.peers {
			from := i * c.share % m.Experts
			s.Peers = append(s.Peers, Peer{
				ID: fmt.Sprint(i), RTT: time.Duration(i+1) * ms, Expert: 300 * time.Microsecond, Late: ms, Holds: on(m, from, from+c.share),
			})
		}
		b.Run(fmt.Sprintf("%d-peers-%d-experts", c.peers, c.share), func(b *testing.B) {
			for b.Loop() {
				p, err := New(s)
				if err != nil {
					b.Fatal(err)
				}
				p.Plan(0)
			}
		})
	}
}
