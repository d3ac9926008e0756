package convert

import (
	"context"
	"fmt"
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"

	"shoal/rdrr/quant"
)

// recodeChunk is about how many weights a worker takes at a time.
const recodeChunk = 1 << 16

// recode stores rows of cols weights, given as blocks of one format, in another. The same format is returned as it is. Rows are
// shared out over the cores; the result does not depend on how many there are.
func recode(ctx context.Context, to, from quant.Type, data []byte, rows, cols int) ([]byte, error) {
	if to == from {
		return data, nil
	}
	inBytes, outBytes := from.RowBytes(cols), to.RowBytes(cols)
	out := make([]byte, rows*outBytes)
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	step := max(1, recodeChunk/cols)
	for first := 0; first < rows; first += step {
		if running.Err() != nil {
			break
		}
		g.Go(func() error {
			row := make([]float32, cols)
			for r := first; r < min(first+step, rows); r++ {
				quant.Decode(from, row, data[r*inBytes:(r+1)*inBytes])
				if err := checkRow(to, row); err != nil {
					return fmt.Errorf("row %d: %w", r, err)
				}
				quant.Encode(to, out[r*outBytes:(r+1)*outBytes], row)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

// checkRow refuses weights that the format cannot hold.
func checkRow(to quant.Type, row []float32) error {
	limit := float32(math.MaxFloat32)
	switch to {
	case quant.F16:
		limit = 65504
	case quant.Q8_0:
		limit = 65504 * 127
	case quant.Q4_K, quant.Q6_K:
		limit = 65504 * 31
	}
	for i, v := range row {
		if !(v >= -limit && v <= limit) { // NaN too
			return fmt.Errorf("weight %d is %v, which %s cannot hold", i, v, to)
		}
	}
	return nil
}
