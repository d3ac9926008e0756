package synth

import (
	"encoding/binary"
	"math"

	"shoal/rdrr/quant"
)

// maker makes rows of one format and length.
//
// Floats are drawn from a table of quantiles of the normal distribution. In a block format every byte is random but the
// header, which is drawn from a table too: headers differ in scale and in sign, the latter because the codes of most formats
// are not centred on 0 and would give every output the same offset.
type maker struct {
	t    quant.Type
	cols int
	// headers [n, headerBytes] and where in a block they go; n is a power of two.
	headers  []byte
	at, size int
	values   *[tableSize]uint32 // floats: the bits of each quantile; nil for block formats
	// tails [tailCount, bytes of a block] are last blocks of a row that is padded with zeros; nil if rows are whole blocks.
	tails []byte
}

const (
	headerCount = 256  // a byte picks one
	tableBits   = 10   // of random that pick a float
	tableSize   = 1024 // 1 << tableBits
	tailCount   = 64
)

// header says where a format's header is and makes one: scale multiplies the weights, in the sense that doubling it doubles
// them.
type header struct {
	at, size int
	make     func(dst []byte, scale float64, r *random)
}

var headers = map[quant.Type]header{
	quant.Q8_0:  {0, 2, func(b []byte, scale float64, r *random) { putHalf(b, spread(scale, r)) }},
	quant.Q4_0:  {0, 2, func(b []byte, scale float64, r *random) { putHalf(b, spread(scale, r)) }},
	quant.Q4_K:  {0, 16, func(b []byte, scale float64, r *random) { subBlocks(b, scale, 7.5, r) }},
	quant.Q5_K:  {0, 16, func(b []byte, scale float64, r *random) { subBlocks(b, scale, 15.5, r) }},
	quant.Q6_K:  {192, 18, signedSubBlocks},
	quant.MXFP4: {0, 1, powerOfTwo},
	quant.F8E4M3: {0, 4, func(b []byte, scale float64, r *random) {
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(spread(scale, r))))
	}},
}

// spread varies a scale by up to a fifth either way, and its sign.
func spread(scale float64, r *random) float64 {
	bits := r.next()
	scale *= 0.8 + 0.4*float64(bits>>40)/(1<<24)
	if bits&1 == 1 {
		return -scale
	}
	return scale
}

func putHalf(b []byte, v float64) {
	quant.Encode(quant.F16, b[:2], []float32{float32(v)})
}

// subBlocks makes the header of Q4_K and Q5_K: f16 d, f16 dmin, and eight scales and minimums of 6 bits. The minimums equal
// the scales, and dmin is d times the mean code, so that weights are centred on 0.
func subBlocks(b []byte, scale, mean float64, r *random) {
	d := spread(scale, r)
	putHalf(b, d)
	putHalf(b[2:], d*mean)
	for j := range 4 {
		low, high := byte(32+r.next()%32), byte(32+r.next()%32) // of sub-blocks j and j+4
		packed := low | high>>4<<6
		b[4+j], b[8+j] = packed, packed
		b[12+j] = high&15 | high<<4
	}
}

// signedSubBlocks makes the end of a Q6_K block: 16 int8 scales and f16 d.
func signedSubBlocks(b []byte, scale float64, r *random) {
	for j := range 16 {
		bits := r.next()
		v := int8(32 + bits%32)
		if bits>>63 == 1 {
			v = -v
		}
		b[j] = byte(v)
	}
	putHalf(b[16:], spread(scale, r))
}

// powerOfTwo makes the e8m0 scale of MXFP4: one of the two powers around scale, so chosen that the mean square is right.
func powerOfTwo(b []byte, scale float64, r *random) {
	fraction, exponent := math.Frexp(scale) // fraction in [0.5, 1)
	low := exponent - 1
	square := 4 * fraction * fraction // of scale in units of the lower power, in [1, 4)
	if float64(r.next()>>11)/(1<<53) < (square-1)/3 {
		low++
	}
	b[0] = byte(min(max(low+127, 0), 254))
}

func newMaker(t quant.Type, cols int) *maker {
	m := &maker{t: t, cols: cols}
	deviation := 1 / math.Sqrt(float64(cols))
	if h, ok := headers[t]; ok {
		m.at, m.size = h.at, h.size
		m.headers = m.table(h, 0x1p-6)
		m.headers = m.table(h, 0x1p-6*deviation/m.deviation())
		m.makeTails(deviation)
		return m
	}
	values := make([]float32, tableSize)
	for i := range values {
		values[i] = float32(deviation * quantile((float64(i)+0.5)/tableSize))
	}
	encoded := make([]byte, t.RowBytes(tableSize))
	quant.Encode(t, encoded, values)
	m.values = new([tableSize]uint32)
	width := t.BlockBytes()
	for i := range m.values {
		for j := range width {
			m.values[i] |= uint32(encoded[i*width+j]) << (8 * j)
		}
	}
	return m
}

func (m *maker) table(h header, scale float64) []byte {
	out := make([]byte, headerCount*h.size)
	r := random(1)
	for i := range headerCount {
		h.make(out[i*h.size:(i+1)*h.size], scale, &r)
	}
	return out
}

// deviation measures the standard deviation of the weights that the table makes.
func (m *maker) deviation() float64 {
	b := make([]byte, headerCount*m.t.BlockBytes())
	r := random(2)
	m.blocks(b, &r)
	values := make([]float32, headerCount*m.t.BlockSize())
	quant.Decode(m.t, values, b)
	sum := 0.0
	for _, v := range values {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(len(values)))
}

// makeTails encodes last blocks whose padding is zero, as a converter writes them.
func (m *maker) makeTails(deviation float64) {
	rest := m.cols % m.t.BlockSize()
	if rest == 0 {
		return
	}
	size := m.t.BlockBytes()
	m.tails = make([]byte, tailCount*size)
	r := random(3)
	values := make([]float32, rest)
	for i := range tailCount {
		for j := range values {
			values[j] = float32(deviation) * r.normal()
		}
		quant.Encode(m.t, m.tails[i*size:(i+1)*size], values)
	}
}

// rows fills dst with whole rows.
func (m *maker) rows(dst []byte, r *random) {
	if m.values != nil {
		m.floats(dst, r)
		return
	}
	m.blocks(dst, r)
	if m.tails == nil {
		return
	}
	size, row := m.t.BlockBytes(), m.t.RowBytes(m.cols)
	for end := row; end <= len(dst); end += row {
		pick := int(r.next() % tailCount)
		copy(dst[end-size:end], m.tails[pick*size:(pick+1)*size])
	}
}

// blocks fills dst with whole blocks.
func (m *maker) blocks(dst []byte, r *random) {
	r.fill(dst)
	if m.t == quant.F8E4M3 {
		narrow(dst)
	}
	size := m.t.BlockBytes()
	for ; len(dst) >= size; dst = dst[size:] {
		b := dst[m.at : m.at+m.size]
		pick := int(b[0])
		copy(b, m.headers[pick*m.size:(pick+1)*m.size])
	}
}

// narrow gives e4m3 codes one of the four exponents up to that of 1, and so takes away NaN and the rare huge values that
// would make up most of the variance. It spoils the headers, which come after.
func narrow(b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)&0x9f9f9f9f9f9f9f9f|0x2020202020202020)
		b = b[8:]
	}
	for i := range b {
		b[i] = b[i]&0x9f | 0x20
	}
}

// floats fills dst with values of the table: eight bytes of them for each random number.
func (m *maker) floats(dst []byte, r *random) {
	width := m.t.BlockBytes()
	for len(dst) >= 8 {
		bits, word := r.next(), uint64(0)
		if width == 2 {
			word = m.value(bits) | m.value(bits>>tableBits)<<16 | m.value(bits>>(2*tableBits))<<32 | m.value(bits>>(3*tableBits))<<48
		} else {
			word = m.value(bits) | m.value(bits>>tableBits)<<32
		}
		binary.LittleEndian.PutUint64(dst, word)
		dst = dst[8:]
	}
	for bits := r.next(); len(dst) > 0; bits >>= tableBits {
		word := m.value(bits)
		for i := range width {
			dst[i] = byte(word >> (8 * i))
		}
		dst = dst[width:]
	}
}

// value is the bits of the table's value that the low bits pick.
func (m *maker) value(bits uint64) uint64 { return uint64(m.values[bits%tableSize]) }
