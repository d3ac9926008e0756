package p2p

import (
	"fmt"
	"math"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"shoal/experts"
	"shoal/rdrr"
)

// Kinds of ClientMessage, by field number.
const (
	kindRun    = 1
	kindCancel = 2
	kindPing   = 3
)

// maxTimeout is the longest time that a request may give; longer means no limit.
const maxTimeout = time.Hour

// wireRun is a Run as it came. slots and x belong to a pool and to the buffer that was parsed.
type wireRun struct {
	id       uint64
	model    []byte
	layer    uint32
	hidden   uint32
	rows     uint32
	encoding Encoding
	reply    Encoding // of the answer
	sum      bool
	timeout  time.Duration // 0: no limit
	slots    []experts.Slot
	x        []byte
}

var slotPool = sync.Pool{New: func() any { return new([]experts.Slot) }}

// runFrame makes the frame of a Run.
func (buf *buffer) runFrame(id uint64, batch experts.Batch, e, reply Encoding, timeout time.Duration) []byte {
	b := buf.openFrame()
	b = appendVarintField(b, 1, id)
	b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), batch.Model[:])
	b = appendVarintField(b, 3, uint64(batch.Layer))
	b = appendVarintField(b, 4, uint64(batch.Hidden))
	b = appendVarintField(b, 5, uint64(batch.Rows()))
	b = appendVarintField(b, 6, uint64(e))
	if batch.Sum {
		b = appendVarintField(b, 7, 1)
	}
	if timeout > 0 && timeout < maxTimeout {
		b = appendVarintField(b, 8, uint64(max(1, timeout.Microseconds())))
	}
	if len(batch.Slots) > 0 {
		b = appendPacked(b, 9, batch.Slots, func(s experts.Slot) uint64 { return uint64(s.Row) })
		b = appendPacked(b, 10, batch.Slots, func(s experts.Slot) uint64 { return uint64(s.Expert) })
		b = protowire.AppendTag(b, 11, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(4*len(batch.Slots)))
		for _, s := range batch.Slots {
			b = protowire.AppendFixed32(b, math.Float32bits(s.Weight))
		}
	}
	if reply != e {
		b = appendVarintField(b, 12, uint64(reply))
	}
	n, _ := e.size(batch.Rows(), batch.Hidden)
	b = protowire.AppendTag(b, 15, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(n))
	b = appendActivations(b, e, batch.Hidden, batch.X)
	return buf.closeFrame(b, kindRun)
}

func appendPacked(b []byte, field protowire.Number, slots []experts.Slot, value func(experts.Slot) uint64) []byte {
	n := 0
	for _, s := range slots {
		n += protowire.SizeVarint(value(s))
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(n))
	for _, s := range slots {
		b = protowire.AppendVarint(b, value(s))
	}
	return b
}

// runSize bounds the bytes that runFrame takes for rows and slots of the given numbers.
func runSize(rows, hidden, slots int, e Encoding) int {
	n, _ := e.size(rows, hidden)
	return n + 14*slots + 256
}

// parse reads a Run. On an error the id is set as far as it was seen, so that the error can be answered.
func (r *wireRun) parse(b []byte, lim Limits) error {
	*r = wireRun{slots: r.slots[:0]}
	var rows, exps, weights int
	slot := func(i int) (*experts.Slot, error) {
		if i >= lim.Slots {
			return nil, fmt.Errorf("%w: more than %d slots", experts.ErrTooLarge, lim.Slots)
		}
		for len(r.slots) <= i {
			r.slots = append(r.slots, experts.Slot{})
		}
		return &r.slots[i], nil
	}
	setRow := func(v uint64) error {
		s, err := slot(rows)
		if err == nil {
			s.Row = int(v)
			rows++
		}
		return err
	}
	setExpert := func(v uint64) error {
		s, err := slot(exps)
		if err == nil {
			s.Expert = int(v)
			exps++
		}
		return err
	}
	for len(b) > 0 {
		num, typ, n, err := consumeTag(b)
		if err != nil {
			return err
		}
		b = b[n:]
		switch {
		case typ == protowire.VarintType && (num <= 10 || num == 12):
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n < 0 {
				break
			}
			if num != 1 && num != 7 && num != 8 && v > math.MaxUint32 {
				return malformed("field %d is %d", num, v)
			}
			switch num {
			case 1:
				r.id = v
			case 3:
				r.layer = uint32(v)
			case 4:
				r.hidden = uint32(v)
			case 5:
				r.rows = uint32(v)
			case 6, 12:
				if v > math.MaxInt32 {
					return malformed("encoding %d", v)
				}
				if num == 6 {
					r.encoding = Encoding(v)
				} else {
					r.reply = Encoding(v)
				}
			case 7:
				r.sum = v != 0
			case 8:
				r.timeout = 0
				if v < uint64(maxTimeout/time.Microsecond) {
					r.timeout = time.Duration(v) * time.Microsecond
				}
			case 9:
				err = setRow(v)
			case 10:
				err = setExpert(v)
			}
		case typ == protowire.BytesType && (num == 9 || num == 10):
			var packed []byte
			if packed, n = protowire.ConsumeBytes(b); n < 0 {
				break
			}
			for len(packed) > 0 && err == nil {
				v, m := protowire.ConsumeVarint(packed)
				if m < 0 || v > math.MaxUint32 {
					return malformed("field %d", num)
				}
				packed = packed[m:]
				if num == 9 {
					err = setRow(v)
				} else {
					err = setExpert(v)
				}
			}
		case num == 11 && (typ == protowire.BytesType || typ == protowire.Fixed32Type):
			packed := b
			if typ == protowire.BytesType {
				if packed, n = protowire.ConsumeBytes(b); n < 0 {
					break
				}
			} else if n = 4; len(b) < n {
				return malformed("field %d", num)
			} else {
				packed = b[:n]
			}
			if len(packed)%4 != 0 {
				return malformed("field %d", num)
			}
			for len(packed) > 0 && err == nil {
				var s *experts.Slot
				if s, err = slot(weights); err == nil {
					v, m := protowire.ConsumeFixed32(packed)
					s.Weight = math.Float32frombits(v)
					weights++
					packed = packed[m:]
				}
			}
		case typ == protowire.BytesType && num == 2:
			r.model, n = protowire.ConsumeBytes(b)
		case typ == protowire.BytesType && num == 15:
			r.x, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if err != nil {
			return err
		}
		if n < 0 {
			return malformed("field %d: %v", num, protowire.ParseError(n))
		}
		b = b[n:]
	}
	return r.check(lim, rows, exps, weights)
}

// check holds the parts of the message against each other and against the limits.
func (r *wireRun) check(lim Limits, rows, exps, weights int) error {
	if r.id == 0 {
		return malformed("a request without an id")
	}
	if rows != exps || rows != weights {
		return malformed("slots with %d rows, %d experts and %d weights", rows, exps, weights)
	}
	if len(r.model) != len(rdrr.Digest{}) {
		return malformed("a model digest of %d bytes", len(r.model))
	}
	if r.hidden == 0 || r.rows == 0 || rows == 0 {
		return malformed("a request with %d rows of %d values and %d slots", r.rows, r.hidden, rows)
	}
	replyRows := rows
	if r.sum {
		replyRows = int(r.rows)
	}
	if err := lim.check(int(r.rows), int(r.hidden), rows, 0); err != nil {
		return err
	}
	if r.reply == 0 {
		r.reply = r.encoding
	}
	for _, e := range []Encoding{r.encoding, r.reply} {
		if _, ok := e.size(0, 0); !ok {
			return malformed("activations in encoding %d; this version speaks f32 (1), bf16 (2) and int8 in blocks of 64 (3) and of 128 (4)", int(e))
		}
	}
	reply, _ := r.reply.size(replyRows, int(r.hidden))
	if err := lim.check(int(r.rows), int(r.hidden), rows, reply); err != nil {
		return err
	}
	if want, _ := r.encoding.size(int(r.rows), int(r.hidden)); want != len(r.x) {
		return malformed("%d rows of %d values in %s take %d bytes, not %d", r.rows, r.hidden, r.encoding, want, len(r.x))
	}
	return nil
}

// digest is the model that the request names.
func (r *wireRun) digest() (d rdrr.Digest) {
	copy(d[:], r.model)
	return d
}

// peekRunID reads the id of a Run from the first bytes of its message, 0 if they begin otherwise.
func peekRunID(b []byte) uint64 {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num != kindRun || typ != protowire.BytesType {
		return 0
	}
	b = b[n:]
	_, n = protowire.ConsumeVarint(b)
	if n < 0 {
		return 0
	}
	b = b[n:]
	num, typ, n = protowire.ConsumeTag(b)
	if n < 0 || num != 1 || typ != protowire.VarintType {
		return 0
	}
	id, n := protowire.ConsumeVarint(b[n:])
	if n < 0 {
		return 0
	}
	return id
}
