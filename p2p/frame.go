package p2p

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// A stream of the expert protocol is a sequence of messages, each a varint length and that many bytes of protobuf.
//
// Messages are built and read by hand in wirerun.go and wireresult.go, not by the generated code, so that activations are
// copied once and no buffer is made for each message. The bytes are the same: FuzzWireMessage holds both against each other.

const (
	// Room for a length prefix, a tag and a nested length before the part of a message that is built first.
	headroom = 2*binary.MaxVarintLen32 + 1
	// What a Result takes beside y, generously.
	resultOverhead = 256 + maxDetail
	// A body is read in pieces of at most this many bytes, so that a length alone makes nobody allocate.
	readPiece = 1 << 20
	// Larger buffers are left to the garbage collector.
	keepBuffer = 16 << 20
)

// errMalformed is wrapped by every error about bytes that break the protocol.
var errMalformed = errors.New("malformed message")

// buffer is a pooled byte slice.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func getBuffer() *buffer {
	b := buffers.Get().(*buffer)
	b.b = b.b[:0]
	return b
}

func (b *buffer) free() {
	if b != nil && cap(b.b) <= keepBuffer {
		buffers.Put(b)
	}
}

// readLength reads a message's length. io.EOF means that the stream ended between messages.
func readLength(r *bufio.Reader) (int, error) {
	n, err := binary.ReadUvarint(r)
	switch {
	case err == io.EOF:
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("message length: %w", err)
	case n > MaxMessage:
		return 0, fmt.Errorf("%w: length %d, at most %d", errMalformed, n, MaxMessage)
	}
	return int(n), nil
}

// readBody reads n bytes into a pooled buffer, which the caller frees. Memory grows with what has arrived.
func readBody(r *bufio.Reader, n int) (*buffer, error) {
	buf := getBuffer()
	for len(buf.b) < n {
		have := len(buf.b)
		piece := min(n-have, max(readPiece, have))
		if cap(buf.b)-have < piece {
			grown := make([]byte, have, have+piece)
			copy(grown, buf.b)
			buf.b = grown
		}
		buf.b = buf.b[:have+piece]
		if _, err := io.ReadFull(r, buf.b[have:]); err != nil {
			buf.free()
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("message body: %w", err)
		}
	}
	return buf, nil
}

// openFrame readies the buffer for a nested message.
func (b *buffer) openFrame() []byte {
	return append(b.b[:0], make([]byte, headroom)...)
}

// closeFrame puts the tag of the oneof field and both lengths before the nested message that begins at headroom of body,
// and returns the whole frame, which is good until the buffer is used again. One frame is one Write.
func (b *buffer) closeFrame(body []byte, field protowire.Number) []byte {
	b.b = body
	nested := len(body) - headroom
	var head, length [headroom]byte
	h := protowire.AppendVarint(protowire.AppendTag(head[:0], field, protowire.BytesType), uint64(nested))
	l := protowire.AppendVarint(length[:0], uint64(len(h)+nested))
	start := headroom - len(l) - len(h)
	copy(body[start:], l)
	copy(body[start+len(l):], h)
	return body[start:]
}

func appendVarintField(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

// cancelFrame is the frame of a Cancel.
func (b *buffer) cancelFrame(id uint64) []byte {
	return b.closeFrame(appendVarintField(b.openFrame(), 1, id), kindCancel)
}

// wirePing is a ping or a pong.
type wirePing struct {
	id        uint64
	encodings uint64 // bit e for encoding e; 0: not told
	want      uint32 // bytes of filler wanted in the pong
	filler    int    // bytes
}

// pingFrame is the frame of a ping (kindPing) or a pong (kindPong).
func (b *buffer) pingFrame(field protowire.Number, p wirePing) []byte {
	m := appendVarintField(b.openFrame(), 1, p.id)
	m = appendVarintField(m, 2, p.encodings)
	m = appendVarintField(m, 3, uint64(p.want))
	if p.filler > 0 {
		m = protowire.AppendBytes(protowire.AppendTag(m, 15, protowire.BytesType), make([]byte, p.filler))
	}
	return b.closeFrame(m, field)
}

// malformed says what is wrong with a message.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// consumeTag reads the number and type of a field, in n bytes. Numbers above 2^29-1, which protowire lets through because old
// MessageSets have them, are refused, as the generated code does.
func consumeTag(b []byte) (num protowire.Number, typ protowire.Type, n int, err error) {
	num, typ, n = protowire.ConsumeTag(b)
	switch {
	case n < 0:
		return 0, 0, 0, malformed("%v", protowire.ParseError(n))
	case !num.IsValid():
		return 0, 0, 0, malformed("field number %d", num)
	}
	return num, typ, n, nil
}

// oneof reads a message that is one of several nested ones: which, and its bytes. Unknown fields are skipped; none or more
// than one known field is an error.
func oneof(b []byte, known int) (field protowire.Number, nested []byte, err error) {
	for len(b) > 0 {
		num, typ, n, err := consumeTag(b)
		if err != nil {
			return 0, nil, err
		}
		b = b[n:]
		if typ == protowire.BytesType && num <= protowire.Number(known) {
			if field != 0 {
				return 0, nil, malformed("kinds %d and %d in one message", field, num)
			}
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return 0, nil, malformed("%v", protowire.ParseError(n))
			}
			field, nested, b = num, v, b[n:]
			continue
		}
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return 0, nil, malformed("%v", protowire.ParseError(n))
		}
		b = b[n:]
	}
	if field == 0 {
		return 0, nil, malformed("no kind that this version knows")
	}
	return field, nested, nil
}

// parsePing reads Ping, and Cancel, which has its id alone.
func parsePing(b []byte) (p wirePing, err error) {
	for len(b) > 0 {
		num, typ, n, err := consumeTag(b)
		if err != nil {
			return p, err
		}
		b = b[n:]
		var v uint64
		switch {
		case typ == protowire.VarintType && num <= 3:
			v, n = protowire.ConsumeVarint(b)
			switch num {
			case 1:
				p.id = v
			case 2:
				p.encodings = v
			case 3:
				if v > maxPing {
					return p, malformed("a pong of %d bytes is wanted, at most %d", v, maxPing)
				}
				p.want = uint32(v)
			}
		case typ == protowire.BytesType && num == 15:
			var filler []byte
			filler, n = protowire.ConsumeBytes(b)
			p.filler = len(filler)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return p, malformed("%v", protowire.ParseError(n))
		}
		b = b[n:]
	}
	return p, nil
}
