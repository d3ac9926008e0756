package p2p

import (
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"shoal/proto/shoalpb"
)

// Kinds of ServerMessage, by field number.
const (
	kindResult = 1
	kindPong   = 2
)

// wireResult is a Result as it came; y belongs to the buffer that was parsed.
type wireResult struct {
	id       uint64
	code     shoalpb.Code
	detail   string
	encoding Encoding
	rows     uint32
	hidden   uint32
	compute  time.Duration
	queue    time.Duration
	y        []byte
}

// resultFrame makes the frame of a Result: an answer y [len(y)/hidden, hidden] in encoding e.
func (buf *buffer) resultFrame(id uint64, e Encoding, hidden int, y []float32, compute, queue time.Duration) []byte {
	b := buf.openFrame()
	b = appendVarintField(b, 1, id)
	b = appendVarintField(b, 4, uint64(e))
	b = appendVarintField(b, 5, uint64(len(y)/hidden))
	b = appendVarintField(b, 6, uint64(hidden))
	b = appendVarintField(b, 7, uint64(max(0, compute.Microseconds())))
	b = appendVarintField(b, 8, uint64(max(0, queue.Microseconds())))
	n, _ := e.size(len(y)/hidden, hidden)
	b = protowire.AppendTag(b, 15, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(n))
	b = appendActivations(b, e, hidden, y)
	return buf.closeFrame(b, kindResult)
}

// refusalFrame makes the frame of a Result that says why there is no answer.
func (buf *buffer) refusalFrame(id uint64, err error, queue time.Duration) []byte {
	code, detail := codeOf(err)
	b := buf.openFrame()
	b = appendVarintField(b, 1, id)
	b = appendVarintField(b, 2, uint64(code))
	if detail != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 3, protowire.BytesType), detail)
	}
	b = appendVarintField(b, 8, uint64(max(0, queue.Microseconds())))
	return buf.closeFrame(b, kindResult)
}

// parse reads a Result.
func (r *wireResult) parse(b []byte) error {
	*r = wireResult{}
	for len(b) > 0 {
		num, typ, n, err := consumeTag(b)
		if err != nil {
			return err
		}
		b = b[n:]
		switch {
		case typ == protowire.VarintType && num <= 8:
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n < 0 {
				break
			}
			switch num {
			case 1:
				r.id = v
			case 2, 4, 5, 6:
				if v > math.MaxInt32 {
					return malformed("field %d is %d", num, v)
				}
				switch num {
				case 2:
					r.code = shoalpb.Code(v)
				case 4:
					r.encoding = Encoding(v)
				case 5:
					r.rows = uint32(v)
				case 6:
					r.hidden = uint32(v)
				}
			case 7:
				r.compute = micros(v)
			case 8:
				r.queue = micros(v)
			}
		case typ == protowire.BytesType && num == 3:
			var text []byte
			if text, n = protowire.ConsumeBytes(b); n < 0 {
				break
			}
			if len(text) > maxDetail || !utf8.Valid(text) {
				return malformed("a detail of %d bytes", len(text))
			}
			r.detail = string(text)
		case typ == protowire.BytesType && num == 15:
			r.y, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return malformed("field %d: %v", num, protowire.ParseError(n))
		}
		b = b[n:]
	}
	return nil
}

// micros is v microseconds, at most maxTimeout: what a peer says of its own time adds up without overflow.
func micros(v uint64) time.Duration {
	return time.Duration(min(v, uint64(maxTimeout/time.Microsecond))) * time.Microsecond
}
