// Package experts is the vocabulary of expert dispatch: which expert, which rows, and who can run them.
//
// [Runner] is the pivot of the program. The local device, a remote peer, the plain Go reference and every wrapper that
// retries, hedges, meters or audits are Runners; nothing above this interface can tell local from remote.
// The package holds no weights and opens no connection: see experts/host and p2p.
package experts

import (
	"context"
	"fmt"
	"math"

	"shoal/rdrr"
)

// ID names one routed expert of one model.
type ID struct {
	Model  rdrr.Digest
	Layer  int
	Expert int
}

func (id ID) String() string {
	return fmt.Sprintf("model %s layer %d expert %d", id.Model.Short(), id.Layer, id.Expert)
}

// Slot asks for one row to be run through one expert.
type Slot struct {
	Row    int     // row of Batch.X
	Expert int     // expert number within the layer
	Weight float32 // the gate's weight for this row and expert
}

// Batch is the work of one layer for one Runner: rows of normed activations and the experts each is to pass through.
type Batch struct {
	Model  rdrr.Digest
	Layer  int
	Hidden int
	X      []float32 // [rows, Hidden]
	// Slots in route order: ascending by row, within a row best expert first.
	Slots []Slot
	// Sum asks for one gate-weighted sum per row of X, added up in slot order; otherwise the reply has one unweighted row
	// per slot.
	Sum bool
}

// Rows returns the number of rows of X.
func (b Batch) Rows() int {
	if b.Hidden <= 0 {
		return 0
	}
	return len(b.X) / b.Hidden
}

// ReplyRows returns the number of rows that a reply to b has.
func (b Batch) ReplyRows() int {
	if b.Sum {
		return b.Rows()
	}
	return len(b.Slots)
}

// Validate reports the first thing wrong with the batch: sizes, rows out of range, weights that are not finite.
func (b Batch) Validate() error {
	if b.Hidden <= 0 || len(b.X)%b.Hidden != 0 {
		return fmt.Errorf("layer %d: batch of %d values is not rows of %d", b.Layer, len(b.X), b.Hidden)
	}
	rows := b.Rows()
	for i, s := range b.Slots {
		if s.Row < 0 || s.Row >= rows {
			return fmt.Errorf("layer %d: slot %d names row %d of %d", b.Layer, i, s.Row, rows)
		}
		if i > 0 && s.Row < b.Slots[i-1].Row {
			return fmt.Errorf("layer %d: slot %d (row %d) is out of route order", b.Layer, i, s.Row)
		}
		if s.Expert < 0 {
			return fmt.Errorf("layer %d: slot %d names expert %d", b.Layer, i, s.Expert)
		}
		if w := float64(s.Weight); math.IsNaN(w) || math.IsInf(w, 0) {
			return fmt.Errorf("layer %d: slot %d (expert %d) has gate weight %v", b.Layer, i, s.Expert, s.Weight)
		}
	}
	return nil
}

// Runner runs a batch through experts. It returns [b.ReplyRows(), b.Hidden] values, owned by the caller.
//
// An expert that the Runner does not hold is an error that wraps [ErrNotHeld] and names it; no Runner answers with part of
// a batch. Run is safe for concurrent use. It returns early with ctx's error when ctx ends.
type Runner interface {
	Run(ctx context.Context, b Batch) ([]float32, error)
}
