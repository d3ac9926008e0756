package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"shoal/internal/report"
	"shoal/rdrr/quant"
)

// page writes docs/model-support.md.
func page(reports []*report.Report) ([]byte, error) {
	var models []row
	for _, e := range entries {
		s, err := e.sizes()
		if err != nil {
			return nil, err
		}
		models = append(models, row{e, s})
	}
	w := &writer{evidence: evidence{devices: reports}, models: models}
	w.intro()
	w.families()
	w.sizes()
	w.machines()
	w.checks()
	w.formats()
	w.memory()
	w.swarms()
	w.commands()
	return w.Bytes(), nil
}

type row struct {
	entry
	*sizes
}

type writer struct {
	bytes.Buffer
	evidence evidence
	models   []row
}

// say writes a paragraph.
func (w *writer) say(format string, args ...any) { fmt.Fprintf(w, format+"\n\n", args...) }

// table writes rows of cells under a head.
func (w *writer) table(head []string, rows [][]string) {
	line := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(slices.Repeat([]string{"---"}, len(head)))
	for _, r := range rows {
		line(r)
	}
	w.WriteByte('\n')
}

func (w *writer) intro() {
	w.say("# Model support")
	w.say("Written by `go run ./tools/matrix` from the published configurations and the reports in `docs/reports`; a test fails when it is\nnot what they give. Change those, not this page.")
	w.say("**What \"checked\" means.** Each family has a small checkpoint with random weights and all that is special about the family\n" +
		"(`testdata/fixtures-small`; larger ones where they lie beside the repository). Hugging Face transformers computed from it, in float32,\n" +
		"logits, every hidden state, router scores and 24 greedy tokens. A family is checked on a device if `p2p test` finds all hidden states\n" +
		"and logits within a normalised mean squared error (NMSE) of 1e-6, the same experts chosen, and the same greedy tokens up to the first\n" +
		"that was nearly a tie. A model that convert has recoded (q8_0, q4_k_m) is held to the same bound against its own weights decoded to\n" +
		"float32, so that the arithmetic on blocks is checked apart from what recoding loses. Letters are the devices of section 3.\n" +
		"No published checkpoint was used: what is checked is arithmetic and sizes, not the quality of any model's text.")
}

func (w *writer) families() {
	w.say("## 1. Families")
	head := []string{"model", "architecture", "what is special", "as stored", "q8_0", "q4_k_m", "not shown by the fixture", "fixture", "synth"}
	var rows [][]string
	for _, m := range w.models {
		synth := "–"
		if m.builtIn() {
			synth = m.Config
		}
		rows = append(rows, []string{
			m.Name, m.spec.Family, m.Special,
			w.status(m, func(q string) bool { return recoded(q) == 0 }),
			w.status(m, func(q string) bool { return q == "Q8_0" }),
			w.status(m, func(q string) bool { return q == "Q4_K_M" }),
			orDash(m.Gaps), strings.Join(m.Fixtures, ", "), synth,
		})
	}
	w.table(head, rows)
	w.say("Dense models run on the coordinator alone. The last two columns are names for the commands of section 8.")
}

func (w *writer) status(m row, quantization func(string) bool) string {
	if v := w.evidence.fixture(m.Fixtures, quantization).String(); v != "" {
		return v
	}
	return "not run"
}

func (w *writer) sizes() {
	w.say("## 2. Sizes")
	w.say("Computed from the configurations, with `model.Spec`. Weights are what an artifact stores and a device holds; active are those that\none token passes through. The KV cache is that of one sequence, as `model.Sequence` keeps it.")
	head := []string{"model", "parameters", "active", "as published", "", "q4_k_m", "", "KV cache, 1 k", "8 k", "most", ""}
	var rows [][]string
	for _, m := range w.models {
		f := m.figures
		rows = append(rows, []string{
			m.Name, count(f.Parameters), count(f.Active), size(m.published.bytes), formats(m.published), size(m.q4.bytes), formats(m.q4),
			w.cache(m, 1024), w.cache(m, 8192), size(m.spec.CacheBytes(m.spec.MaxPositions)), fmt.Sprintf("at %d", m.spec.MaxPositions),
		})
	}
	w.table(head, rows)
}

func (w *writer) cache(m row, positions int) string {
	if positions > m.spec.MaxPositions {
		return "–"
	}
	return size(m.spec.CacheBytes(positions))
}

// formats names what holds over a thousandth of the weights, most first.
func formats(s stored) string {
	var names []string
	total := int64(0)
	for _, n := range s.formats {
		total += n
	}
	types := slices.SortedFunc(slices.Values(quant.Types()), func(a, b quant.Type) int { return int(max(min(s.formats[b]-s.formats[a], 1), -1)) })
	for _, t := range types {
		if s.formats[t] > total/1000 {
			names = append(names, t.String())
		}
	}
	return strings.Join(names, ", ")
}

func (w *writer) machines() {
	w.say("## 3. Devices")
	head := []string{"", "device", "kind", "driver", "of a computer with", "memory", "read at", "runs", "dates"}
	var rows [][]string
	for i, r := range w.evidence.devices {
		d, c := r.Device, r.Computer
		kind, name := "CPU, "+count(int64(c.Threads))+" threads", d.Name
		if d.Backend != "cpu" {
			kind = strings.TrimPrefix(d.Kind+", "+d.API, ", ")
		}
		dates := map[string]bool{}
		for _, run := range r.Runs {
			dates[run.Date] = true
		}
		rows = append(rows, []string{
			letter(i), name, kind, orDash(d.Driver), orDash(c.CPU) + ", " + c.System, size(c.MemoryBytes), fmt.Sprintf("%.1f GB/s", c.MemoryBandwidth),
			fmt.Sprint(len(r.Runs)), span(dates),
		})
	}
	w.table(head, rows)
}

func (w *writer) checks() {
	w.say("## 4. Checks")
	w.say("The worse of logits' and worst hidden state's NMSE, and greedy tokens that agreed; an artifact is told by name and parameters.\n\"Lost\" is the NMSE of a recoded model's logits against the checkpoint's, on whatever device it was largest: what recoding costs on\nrandom weights, no figure for a trained model. Rows of the small fixtures are too short for blocks of 256 weights, so that their\nq4_k_m is Q8_0; that of the larger ones is Q4_K and Q6_K. A CPU is compared with itself where the reference is the artifact's own\nweights, and 0 says that it multiplies blocks exactly as it multiplies their decoded weights.")
	head := append([]string{"artifact", "", "weights", "formats", "compared with", "lost"}, w.letters()...)
	var rows [][]string
	for _, s := range w.evidence.subjects() {
		cells := make([]string, len(w.evidence.devices))
		var formats, with string
		lost := -1.0
		for d := range w.evidence.devices {
			r := w.evidence.of(s, d)
			cells[d] = "–"
			if r == nil {
				continue
			}
			formats = r.formats
			if recoded(s.quantization) > 0 && r.original != nil {
				lost = max(lost, r.original.LogitsNMSE)
			}
			if c := r.judged(s); c != nil {
				cells[d], with = outcome(c), reference(c)
				if _, known := explained[s.artifact]; known && !c.OK {
					cells[d] = nmse(max(c.LogitsNMSE, c.WorstHiddenNMSE)) + ", see below"
				}
			}
		}
		loss := "–"
		if lost >= 0 {
			loss = nmse(lost)
		}
		rows = append(rows, append([]string{s.artifact, count(s.parameters), s.quantization, formats, with, loss}, cells...))
	}
	w.table(head, rows)
	for _, name := range slices.Sorted(maps.Keys(explained)) {
		w.say("%s: %s", name, explained[name])
	}
}

// outcome is a cell: error and greedy agreement, or what went wrong.
func outcome(c *report.Check) string {
	worst, greedy := max(c.LogitsNMSE, c.WorstHiddenNMSE), ""
	if c.GreedyTotal > 0 {
		greedy = fmt.Sprintf(", %d/%d", c.GreedyAgreed, c.GreedyTotal)
	}
	if c.OK {
		return nmse(worst) + greedy
	}
	if c.RouterAgreement < 1 {
		greedy += fmt.Sprintf(", router %.1f %%", 100*c.RouterAgreement)
	}
	return "**fails**: " + nmse(worst) + greedy
}

// reference says what a comparison was with.
func reference(c *report.Check) string {
	switch {
	case c.Reference == report.OwnWeights:
		return "own weights"
	case strings.Contains(c.Reference, "gguf/"):
		return "llama.cpp"
	case strings.Contains(c.Reference, "fixtures"):
		return "transformers"
	}
	return c.Reference
}

func (w *writer) letters() []string {
	var out []string
	for d := range w.evidence.devices {
		out = append(out, letter(d))
	}
	return out
}

func (w *writer) formats() {
	w.say("## 5. Number formats")
	w.say("Every format is kept in its blocks in the device's memory, and its decoder is compared bit for bit with test vectors\n(`go test ./rdrr/quant`). Here: in how many of the checks above it has a part, and the worst NMSE among them.")
	head := append([]string{"format", "bits a weight"}, w.letters()...)
	var rows [][]string
	for _, t := range quant.Types() {
		cells := []string{t.String(), fmt.Sprintf("%.4g", 8*float64(t.BlockBytes())/float64(t.BlockSize()))}
		for d := range w.evidence.devices {
			v, runs := w.evidence.format(t, d)
			switch {
			case runs == 0:
				cells = append(cells, "–")
			case len(v.failed) > 0:
				cells = append(cells, "**fails**")
			default:
				cells = append(cells, fmt.Sprintf("%d: %s", runs, nmse(v.worst)))
			}
		}
		rows = append(rows, cells)
	}
	w.table(head, rows)
}

// Artifacts below this are fixtures, whose memory is all working buffers.
const realSize = 50e6

func (w *writer) memory() {
	w.say("## 6. Memory and speed")
	w.say("Computed: weights and the KV cache of that many positions. Measured: the most that the device had given out while the model read a\nprompt and decoded; the difference is working buffers, which hardly grow with the number of layers or experts. The process's\nlargest resident size is on a CPU what was touched of the mapped artifact (of an embedding that is not the head: a few rows), and with a\ndriver that runs on the CPU the device's memory too. Fewer layers or experts than the model has show in the\nparameters. Speed over so few tokens is a hint; see benchmarks.md. Models under %s are left out: their memory is all working buffers.", size(realSize))
	head := []string{"artifact", "parameters", "layers", "weights", "", "positions", "computed", "device measured", "difference", "process", "prefill", "decode"}
	var rows [][]string
	for d, r := range w.evidence.devices {
		seen := map[string]bool{}
		for _, run := range r.Runs {
			m := run.Memory
			if m == nil || m.WeightBytes < realSize {
				continue
			}
			computed := m.WeightBytes + m.CacheBytes
			speed := []string{"–", "–"}
			if run.Speed != nil {
				speed = []string{fmt.Sprintf("%.3g tokens/s", run.Speed.PrefillPerSecond), fmt.Sprintf("%.3g tokens/s", run.Speed.DecodePerSecond)}
			}
			key := fmt.Sprint(run.Artifact, run.Parameters, run.Quantization)
			if seen[key] {
				continue // one artifact compared with several references
			}
			seen[key] = true
			rows = append(rows, append([]string{
				run.Artifact, count(run.Parameters), fmt.Sprint(run.Layers), run.Quantization, letter(d), fmt.Sprint(m.Positions), size(computed), size(m.DevicePeak),
				fmt.Sprintf("%+.1f %%", 100*float64(m.DevicePeak-computed)/float64(computed)), size(m.ProcessPeak),
			}, speed...))
		}
	}
	if len(rows) == 0 {
		w.say("No report has one.")
		return
	}
	w.table(head, rows)
}

func (w *writer) swarms() {
	w.say("## 7. In a swarm")
	var rows [][]string
	for d, r := range w.evidence.devices {
		for _, run := range r.Runs {
			if run.Mode != report.Alone && run.Check != nil {
				rows = append(rows, []string{run.Artifact, count(run.Parameters), run.Quantization, run.Mode, letter(d), outcome(run.Check)})
			}
		}
	}
	if len(rows) > 0 {
		w.say("The coordinator's device, with the experts at peers.")
		w.table([]string{"artifact", "", "weights", "mode", "", "NMSE, greedy"}, rows)
	}
	w.say("That every MoE family gives the same tokens on three nodes as alone, in exact mode, is a test: `go test ./router -run Exact`.")
}

func (w *writer) commands() {
	w.WriteString(`## 8. The commands, and your machine

A row's fixture, as stored and recoded (` + "`FIXTURE` is its name; `--device gpu` for the adapter" + `):

    p2p convert --input testdata/fixtures-small/FIXTURE --output /tmp/m --quantize none
    p2p test --model /tmp/m --reference testdata/fixtures-small/FIXTURE/reference.safetensors --device cpu
    p2p convert --input testdata/fixtures-small/FIXTURE --output /tmp/q --quantize q4_k_m
    p2p test --model /tmp/q --device cpu

A model's real shapes with random weights (` + "`SYNTH` is its name" + `), whole or some layers of it:

    p2p synth --arch SYNTH --layers 2 --output /tmp/s
    p2p inspect /tmp/s
    p2p test --model /tmp/s --report report.json
    p2p bench --model /tmp/s --report report.json

` + "`p2p test` without `--reference`" + ` decodes all weights to float32 for comparison, which takes 4 bytes a parameter of main memory; ` + "`p2p bench`" + `
does not.

To contribute what your hardware does: run

    go run ./tools/matrix --run

which converts the fixtures, tests them on the CPU and, if there is one, on the adapter that ` + "`--device gpu`" + ` takes (choose with
` + "`SHOAL_ADAPTER`; `p2p gpu-info`" + ` lists them), writes one file per device to ` + "`docs/reports`" + ` and this page anew. It takes a few minutes;
` + "`--shapes`" + ` adds models of real shapes. For a model of your own, or real nodes (` + "`--bootstrap`" + `), add runs to the device's file with
` + "`p2p test --report docs/reports/FILE.json`" + `. Then open a pull request with the files. A report has the names of the processor, the
adapter and its driver, the artifact's name and digest and the figures; no paths, host names or addresses. Look before you send it.
`)
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// size writes bytes in powers of 1000, with three digits.
func size(n int64) string { return scaled(n, "B") }

// count writes a number with three digits: "30.5 B" is 30.5e9.
func count(n int64) string { return strings.TrimSuffix(scaled(n, ""), " ") }

func scaled(n int64, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T"}
	if unit == "" {
		prefixes = []string{"", "k", "M", "B", "T"}
	}
	value, i := float64(n), 0
	for value >= 999.5 && i < len(prefixes)-1 {
		value /= 1000
		i++
	}
	digits := 0
	if i > 0 {
		for d := 100.0; value < d && digits < 2; d /= 10 {
			digits++
		}
	}
	return fmt.Sprintf("%.*f %s%s", digits, value, prefixes[i], unit)
}

// span writes the first and the last of a set in order.
func span(set map[string]bool) string {
	all := slices.Sorted(maps.Keys(set))
	switch len(all) {
	case 0:
		return "–"
	case 1:
		return all[0]
	}
	return all[0] + " to " + all[len(all)-1]
}
