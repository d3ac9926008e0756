package model

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// TestQuantisedArtifacts runs each fixture, quantised, with its weights in blocks and with the same weights decoded to float32.
func TestQuantisedArtifacts(t *testing.T) {
	dev := device(t)
	for _, scheme := range []string{"q8_0", "q4_k_m"} {
		for _, dir := range fixtures(t) {
			if !strings.HasPrefix(fixtureName(dir), "fixtures-small/") {
				continue
			}
			t.Run(scheme+"/"+fixtureName(dir), func(t *testing.T) {
				m, inputs := artifactAs(t, dir, scheme), reference(t, dir).Inputs
				var logits [2][]float32
				for i, on := range []gpu.Device{dev, decoded{dev}} {
					trunk := loadTrunk(t, on, m, Options{Rows: 64})
					logits[i] = inChunks(t, trunk, banks(t, trunk, m), inputs, 40)
				}
				var e squares
				e.add(logits[0], logits[1])
				if e.nmse() > 1e-6 {
					t.Errorf("NMSE %g between blocks and decoded weights", e.nmse())
				}
			})
		}
	}
}

// decoded is a device that keeps every matrix in float32.
type decoded struct{ gpu.Device }

type decodedMatrix struct {
	gpu.Matrix
	from quant.Type
}

func (d decoded) NewMatrix(label string, t quant.Type, count, rows, cols int) (gpu.Matrix, error) {
	m, err := d.Device.NewMatrix(label, quant.F32, count, rows, cols)
	return decodedMatrix{m, t}, err
}

func (d decoded) Begin() gpu.Pass { return decodedPass{d.Device.Begin()} }

// Load decodes. The matrix offers no Alias, because the artifact's bytes are of another format.
func (m decodedMatrix) Load(i int, data []byte) error {
	values := make([]float32, m.Rows()*m.Cols())
	if err := quant.DecodeRows(m.from, values, data, m.Cols()); err != nil {
		return err
	}
	out := make([]byte, 4*len(values))
	for j, v := range values {
		binary.LittleEndian.PutUint32(out[4*j:], math.Float32bits(v))
	}
	return m.Matrix.Load(i, out)
}

// decodedPass hands the device the matrices that it knows.
type decodedPass struct{ gpu.Pass }

func inner(w gpu.Matrix) gpu.Matrix { return w.(decodedMatrix).Matrix }

func (p decodedPass) Embed(dst gpu.Buffer, table gpu.Matrix, ids gpu.Buffer, n int, scale float32) {
	p.Pass.Embed(dst, inner(table), ids, n, scale)
}

func (p decodedPass) MatMul(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int) {
	p.Pass.MatMul(dst, x, inner(w), bias, n)
}

func (p decodedPass) MatMulEach(dst, x gpu.Buffer, w gpu.Matrix, s gpu.Slices) {
	p.Pass.MatMulEach(dst, x, inner(w), s)
}

func (p decodedPass) MatMulExperts(dst, x gpu.Buffer, w gpu.Matrix, bias, ids gpu.Buffer, n, k int, perSlot bool) {
	p.Pass.MatMulExperts(dst, x, inner(w), bias, ids, n, k, perSlot)
}
