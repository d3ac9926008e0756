//go:build !purego

package cpu

import (
	"golang.org/x/sys/cpu"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// available lists the kernels that this processor can run, the best first.
var available = detect()

func detect() []*kernels {
	const f16c = 1 << 29
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA || cpuid1()&f16c == 0 {
		return nil
	}
	avx2 := &kernels{name: "AVX2", tile: 2, panel: panelTile2, reduce: reduceAVX2}
	avx2.addScaled, avx2.scale, avx2.scaleEach = addScaledAVX2, scaleAVX2, scaleEachAVX2
	avx2.activations = [3]func(dst, gate, up *float32, groups int){gpu.SiLU: siluAVX2, gpu.GELUTanh: geluTanhAVX2, gpu.SwiGLUOAI: swigluOAIAVX2}
	avx2.expSums, avx2.largest, avx2.squares = expSumsAVX2, largestAVX2, squaresAVX2
	avx2.scores[0], avx2.scores[1] = scores1AVX2, scores2AVX2
	avx2.weigh[0][0], avx2.weigh[0][1] = weigh1x4AVX2, weigh1x1AVX2
	avx2.weigh[1][0], avx2.weigh[1][1] = weigh2x4AVX2, weigh2x1AVX2
	avx2.formats = [numFormats]formatKernels{
		quant.F32:    {8, 32, decodeF32AVX2, dotF32AVX2},
		quant.F16:    {8, 16, decodeF16AVX2, dotF16AVX2},
		quant.BF16:   {8, 16, decodeBF16AVX2, dotBF16AVX2},
		quant.Q8_0:   {32, 34, decodeQ8_0AVX2, dotQ8_0AVX2},
		quant.Q4_0:   {32, 18, decodeQ4_0AVX2, dotQ4_0AVX2},
		quant.Q4_K:   {256, 144, decodeQ4_KAVX2, dotQ4_KAVX2},
		quant.Q5_K:   {256, 176, decodeQ5_KAVX2, dotQ5_KAVX2},
		quant.Q6_K:   {256, 210, decodeQ6_KAVX2, dotQ6_KAVX2},
		quant.MXFP4:  {32, 17, decodeMXFP4AVX2, dotMXFP4AVX2},
		quant.F8E4M3: {128, 132, decodeF8E4M3AVX2, dotF8E4M3AVX2},
	}
	avx2.quantiseBlocks = quantizeAVX2
	avx2.int8s = [numFormats]int8Kernels{
		quant.Q8_0:  {int8Q8_0x1AVX2, int8Q8_0x4AVX2},
		quant.Q4_0:  {int8Q4_0x1AVX2, int8Q4_0x4AVX2},
		quant.MXFP4: {int8MXFP4x1AVX2, int8MXFP4x4AVX2},
		quant.Q4_K:  {int8Q4_Kx1AVX2, int8Q4_Kx4AVX2},
		quant.Q5_K:  {int8Q5_Kx1AVX2, int8Q5_Kx4AVX2},
		quant.Q6_K:  {int8Q6_Kx1AVX2, int8Q6_Kx4AVX2},
	}
	if !cpu.X86.HasAVX512F || !cpu.X86.HasAVX512DQ || !cpu.X86.HasAVX512VL || !cpu.X86.HasAVX512BW {
		return []*kernels{avx2}
	}
	avx512 := *avx2
	avx512.name, avx512.tile, avx512.panel = "AVX-512", 4, panelTile4
	if !cpu.X86.HasAVX512VNNI {
		return []*kernels{&avx512, avx2}
	}
	vnni := avx512
	vnni.name = "AVX-512 VNNI"
	vnni.int8s = [numFormats]int8Kernels{
		quant.Q8_0:  {int8Q8_0x1VNNI, int8Q8_0x4VNNI},
		quant.Q4_0:  {int8Q4_0x1VNNI, int8Q4_0x4VNNI},
		quant.MXFP4: {int8MXFP4x1VNNI, int8MXFP4x4VNNI},
		quant.Q4_K:  {int8Q4_Kx1VNNI, int8Q4_Kx4VNNI},
		quant.Q5_K:  {int8Q5_Kx1VNNI, int8Q5_Kx4VNNI},
		quant.Q6_K:  {int8Q6_Kx1VNNI, int8Q6_Kx4VNNI},
	}
	return []*kernels{&vnni, &avx512, avx2}
}

func panelTile2(acc, w *float32, x []*float32, steps int) {
	if len(x) == 1 {
		panel1AVX2(acc, w, x[0], steps)
	} else {
		panel2AVX2(acc, w, x[0], x[1], steps)
	}
}

func panelTile4(acc, w *float32, x []*float32, steps int) {
	switch len(x) {
	case 1:
		panel1AVX512(acc, w, x[0], steps)
	case 2:
		panel2AVX512(acc, w, x[0], x[1], steps)
	case 3:
		panel3AVX512(acc, w, x[0], x[1], x[2], steps)
	default:
		panel4AVX512(acc, w, x[0], x[1], x[2], x[3], steps)
	}
}
