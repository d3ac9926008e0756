package gpu

// Norm is the shape of a normalisation: Rows rows of Width elements, starting SrcOffset and DstOffset into the buffers and
// SrcStride and DstStride apart. A stride of 0 is Width.
type Norm struct {
	Rows, Width          int
	SrcOffset, SrcStride int
	DstOffset, DstStride int
	Eps                  float32
}

// Slices is the shape of [Pass.MatMulEach]: each of Rows rows of x holds Count slices of Cols elements (the matrix's Count
// and Cols), XStride apart between slices and XRow apart between rows, starting at XOffset; likewise dst with the matrix's
// Rows elements per slice. Strides of 0 mean densely packed.
type Slices struct {
	Rows                   int
	XOffset, XStride, XRow int
	DOffset, DStride, DRow int
}

// Packed returns s with its zero strides filled in for count slices of cols elements in x and rows elements in dst.
func (s Slices) Packed(count, rows, cols int) Slices {
	s.XStride, s.DStride = or(s.XStride, cols), or(s.DStride, rows)
	s.XRow, s.DRow = or(s.XRow, count*s.XStride), or(s.DRow, count*s.DStride)
	return s
}

// Rotation is the shape of [Pass.RoPE]: Rows rows of Heads heads of HeadDim elements, of which Rotary elements from Offset
// on are rotated. RowStride is the distance between rows, 0 for Heads*HeadDim.
//
// Element pairs are (i, i + Rotary/2), the "rotate half" order of GPT-NeoX and Hugging Face (Su et al. 2021), or
// (2i, 2i+1) with Interleaved set.
type Rotation struct {
	Rows, Heads, HeadDim int
	Offset, Rotary       int
	RowStride            int
	Interleaved          bool
}

// Attention is the shape of causal attention for Rows consecutive positions of one sequence, the first of which is Start.
//
// q [Rows, Heads, KeyDim]; keys [>= Start+Rows, KeyStride] of which KV head h takes KeyDim elements from h*KeyDim on;
// values [.., ValueStride], KV head h takes ValueDim elements from h*ValueDim on; dst [Rows, Heads, ValueDim].
// Query head h reads KV head h / (Heads/KVHeads). Row i sees positions p with p <= Start+i, and, if Window > 0,
// p > Start+i-Window. sinks [Heads] or nil: exp(sink) joins the softmax's denominator (GPT-OSS). With SoftCap > 0 the scores
// become SoftCap * tanh(score / SoftCap). keys and values may be the same buffer (MLA's latent cache).
type Attention struct {
	Rows, Start            int
	Heads, KVHeads         int
	KeyDim, ValueDim       int
	KeyStride, ValueStride int
	Scale                  float32
	Window                 int
	SoftCap                float32
}

// Activation is a gated FFN's nonlinearity.
type Activation uint8

// Activations, by the names that configurations use.
const (
	SiLU     Activation = iota // silu(gate) * up (Shazeer 2020, SwiGLU)
	GELUTanh                   // gelu(gate) * up with the tanh approximation
	// SwiGLUOAI is GPT-OSS's: g = min(gate, 7), u = clamp(up, -7, 7); (u + 1) * g * sigmoid(1.702 g).
	SwiGLUOAI
)

// GateKind is how router scores become experts and weights.
type GateKind uint8

// Gate kinds.
const (
	// SoftmaxTopK: softmax over all experts, then the K largest; Renormalise divides by their sum (Qwen, OLMoE).
	SoftmaxTopK GateKind = iota
	// TopKSoftmax: the K largest scores, then softmax over them (Mixtral, GPT-OSS).
	TopKSoftmax
	// SigmoidTopK: sigmoid scores; experts chosen by score + bias within the best groups, weighted by the score alone
	// (DeepSeek-V3, Kimi K2, GLM-4 MoE).
	SigmoidTopK
	// SparseMixer: K = 2, threshold masking with Jitter (Phi-MoE).
	SparseMixer
)

// Gate is the shape of [Pass.TopK]. Ties are broken by the lower expert number. Without a bias the raw scores decide the
// choice, since softmax and sigmoid keep their order: rounding inside either can then make no tie and no difference.
//
// With Groups > 1, experts are Groups equal ranges and only those of the best TopGroups ranges may be chosen: a range is
// ranked by the sum of its two best biased scores (SigmoidTopK) or by its best score (SoftmaxTopK, DeepSeek-V2). The other
// kinds know no groups.
// Weights are multiplied by Scale at the end; 0 means 1.
type Gate struct {
	Kind        GateKind
	Experts, K  int
	Renormalise bool
	Groups      int
	TopGroups   int
	Scale       float32
	Jitter      float32
}

// Strided is the shape of [Pass.Copy].
type Strided struct {
	Rows, Width          int
	SrcOffset, SrcStride int
	DstOffset, DstStride int
}

// Into is where [Pass.MatMulInto] writes: row i of the result starts Offset + i*Stride elements into dst. A Stride of 0 is the
// number of the matrix's rows. Add adds to what is there.
type Into struct {
	Offset, Stride int
	Add            bool
}

// Heads is the shape of [Pass.Heads]. A row of x [Rows, (Heads + 2*KVHeads) * HeadDim] holds a position's query heads, key heads
// and value heads. Query and key heads become RMSNorm(head) * qNorm or kNorm [HeadDim], if those are not nil, and their first
// Rotary elements are rotated as [Rotation] says, by angles [Rows, Rotary/2, 2]. q [Rows, Heads, HeadDim]; row i's keys and values
// go to position Start+i of keys and values [.., KVHeads, HeadDim].
type Heads struct {
	Rows, Start             int
	Heads, KVHeads, HeadDim int
	Rotary                  int
	Interleaved             bool
	Eps                     float32
}
