// Package shaders holds the compute kernels: one .wgsl file per operation, embedded, and the table of their variants.
//
// # Substitution
//
// The device compiles what [Variant.Source] returns: the operation's file after two kinds of plain text substitution. Both
// leave files that an editor takes for WGSL.
//
//	// #import NAME              the line is replaced by NAME.wgsl, once: a second import of the same file is dropped
//	const NAME: u32 = 64u;       the number is replaced by the variant's, if the variant has a constant of that name
//
// Three names are imported by what the variant says: decode becomes decode_FORMAT (how weights of a number format are read), x
// becomes x_vec4 or x_scalar (how activations of a matrix product are read) and element becomes element_vec4 or element_scalar
// (how attention reads keys). WGSL's own override constants are not used, because not every implementation takes them.
//
// # Conventions
//
// Bindings are in group 0; [Bindings] reads them from the source, so that host and shader cannot disagree. Binding 7 is the
// uniform Params, of 4-byte members. Weights are bindings 0 and, for formats with scales in a plane of their own, 1. A kernel
// finds its work by group_number (grid.wgsl). All sums are f32, and their order depends on a row's width alone.
//
// The package knows no device; gpu/webgpu compiles and runs what is here, and shaders/ref says in Go what each kernel means.
package shaders

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed *.wgsl
var files embed.FS

var (
	importLine = regexp.MustCompile(`(?m)^// #import (\w+)\n`)
	constLine  = regexp.MustCompile(`(?m)^const (\w+): u32 = \d+u;`)
	bindLine   = regexp.MustCompile(`(?m)^@group\(0\) @binding\((\d+)\) var<(\w+)(?:, (\w+))?> (\w+):`)
)

// Source returns the complete WGSL of v. An operation, format or constant that does not exist is an error.
func (v Variant) Source() (string, error) {
	text, err := v.expand(v.Op, map[string]bool{})
	if err != nil {
		return "", fmt.Errorf("shader %s: %w", v, err)
	}
	constants := v.constants()
	text = constLine.ReplaceAllStringFunc(text, func(line string) string {
		name := constLine.FindStringSubmatch(line)[1]
		value, ok := constants[name]
		if !ok {
			return line
		}
		delete(constants, name)
		return fmt.Sprintf("const %s: u32 = %du;", name, value)
	})
	for name := range constants {
		return "", fmt.Errorf("shader %s: no constant %s", v, name)
	}
	return text, nil
}

// expand returns a file with its imports replaced; seen holds the files that the shader has already.
func (v Variant) expand(name string, seen map[string]bool) (string, error) {
	data, err := files.ReadFile(name + ".wgsl")
	if err != nil {
		return "", fmt.Errorf("no file %s.wgsl", name)
	}
	seen[name] = true
	var failed error
	text := importLine.ReplaceAllStringFunc(string(data), func(line string) string {
		target := v.resolve(importLine.FindStringSubmatch(line)[1])
		if seen[target] || failed != nil {
			return ""
		}
		imported, err := v.expand(target, seen)
		if err != nil {
			failed = err
		}
		return imported
	})
	return text, failed
}

// resolve names the file that an import stands for.
func (v Variant) resolve(name string) string {
	switch name {
	case "decode":
		return "decode_" + strings.ToLower(v.Format)
	case "x", "element":
		return name + "_" + v.Access.String()
	}
	return name
}

// BindingKind is how a shader uses a buffer.
type BindingKind uint8

// Kinds of binding.
const (
	ReadOnly BindingKind = iota
	ReadWrite
	Uniform
)

// Binding is one buffer that a shader uses.
type Binding struct {
	Number int
	Name   string
	Kind   BindingKind
}

// Bindings lists the bindings of a shader's source, in ascending order of number. It panics on a source that declares them in
// another way than the files here do.
func Bindings(source string) []Binding {
	var list []Binding
	for _, m := range bindLine.FindAllStringSubmatch(source, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			panic("shaders: binding " + m[1])
		}
		b := Binding{Number: n, Name: m[4]}
		switch {
		case m[2] == "uniform":
			b.Kind = Uniform
		case m[3] == "read_write":
			b.Kind = ReadWrite
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b Binding) int { return a.Number - b.Number })
	return list
}

// Constant returns the value of a u32 constant of a shader's source, such as THREADS.
func Constant(source, name string) (int, bool) {
	for _, line := range constLine.FindAllStringSubmatch(source, -1) {
		if line[1] == name {
			digits := line[0][strings.LastIndex(line[0], " ")+1:]
			n, err := strconv.Atoi(strings.TrimSuffix(digits, "u;"))
			return n, err == nil
		}
	}
	return 0, false
}
