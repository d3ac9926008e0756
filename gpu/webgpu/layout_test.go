package webgpu

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"shoal/rdrr/quant"
)

// A row's bytes are in its planes, each once: putting them back gives the row.
func TestSplit(t *testing.T) {
	for _, format := range quant.Types() {
		l, ok := layouts[format]
		if !ok {
			t.Errorf("%v: no layout", format)
			continue
		}
		for _, cols := range []int{1, 31, 256, 300, 2048} {
			size := format.BlockBytes()
			stored := make([]byte, format.RowBytes(cols))
			for i := range stored {
				stored[i] = byte(rand.Uint32())
			}
			main, scales := make([]byte, l.mainBytes(cols)), make([]byte, l.scaleBytes(cols))
			if len(main)%16 != 0 || len(scales)%4 != 0 {
				t.Errorf("%v: planes of %d and %d bytes are not aligned", format, len(main), len(scales))
			}
			if grown := len(main) + len(scales) - len(stored); grown > 16 {
				t.Errorf("%v: a row of %d bytes grew by %d", format, len(stored), grown)
			}
			for i := range main {
				main[i] = 0xaa
			}
			l.split(main, scales, stored, size)
			if l.scale.length == 0 {
				if !bytes.Equal(main[:len(stored)], stored) || bytes.Trim(main[len(stored):], "\x00") != nil {
					t.Errorf("%v, %d columns: bytes were changed", format, cols)
				}
				continue
			}
			back := make([]byte, len(stored))
			for block := back; len(block) > 0; block = block[size:] {
				for _, p := range l.main {
					main = main[copy(block[p.from:p.from+p.length], main):]
				}
				scales = scales[copy(block[l.scale.from:l.scale.from+l.scale.length], scales):]
			}
			if !bytes.Equal(back, stored) || len(main) != 0 {
				t.Errorf("%v, %d columns: the row does not come back", format, cols)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	list := []Adapter{{Name: "llvmpipe", Kind: "software"}, {Name: "Iris", Kind: "integrated"}, {Name: "GeForce", Kind: "discrete"}}
	for wanted, want := range map[string]int{"": 2, "0": 0, "2": 2, "iris": 1, "LLVM": 0} {
		if got, err := choose(list, wanted); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", wanted, got, err, want)
		}
	}
	for _, wanted := range []string{"3", "-1", "radeon"} {
		if _, err := choose(list, wanted); err == nil {
			t.Errorf("%q: no error", wanted)
		}
	}
	if _, err := choose(nil, ""); err == nil {
		t.Error("no adapter: no error")
	}
}
