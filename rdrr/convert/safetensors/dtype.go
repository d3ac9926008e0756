package safetensors

import "fmt"

// DType is the element type of a tensor, as the format spells it.
type DType string

// The element types that checkpoints use. F8_E8M0 is a power-of-two scale.
const (
	F64    DType = "F64"
	F32    DType = "F32"
	F16    DType = "F16"
	BF16   DType = "BF16"
	F8E4M3 DType = "F8_E4M3"
	F8E5M2 DType = "F8_E5M2"
	F8E8M0 DType = "F8_E8M0"
	I64    DType = "I64"
	I32    DType = "I32"
	I16    DType = "I16"
	I8     DType = "I8"
	U64    DType = "U64"
	U32    DType = "U32"
	U16    DType = "U16"
	U8     DType = "U8"
	Bool   DType = "BOOL"
)

var dtypeBytes = map[DType]int64{
	F64: 8, I64: 8, U64: 8,
	F32: 4, I32: 4, U32: 4,
	F16: 2, BF16: 2, I16: 2, U16: 2,
	F8E4M3: 1, F8E5M2: 1, F8E8M0: 1, I8: 1, U8: 1, Bool: 1,
}

// Bytes is the size of an element, 0 for a type that is not known.
func (d DType) Bytes() int { return int(dtypeBytes[d]) }

func (d DType) check() error {
	if dtypeBytes[d] == 0 {
		return fmt.Errorf("unknown dtype %.40q", string(d))
	}
	return nil
}
