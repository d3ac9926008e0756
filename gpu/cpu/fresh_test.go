package cpu

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestKernelsFresh generates the kernels again. The generator needs modules that this one does not, and the test is skipped where
// they cannot be had, but for CI.
func TestKernelsFresh(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the generator")
	}
	dir := t.TempDir()
	generator := filepath.Join(dir, "asm.exe")
	build := exec.Command("go", "-C", "asm", "build", "-o", generator, ".")
	if out, err := build.CombinedOutput(); err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("building the generator: %v: %s", err, out)
		}
		t.Fatalf("building the generator: %v: %s", err, out)
	}
	files := map[string]string{"kernels_amd64.s": filepath.Join(dir, "k.s"), "kernels_amd64.go": filepath.Join(dir, "k.go")}
	run := exec.Command(generator, "-out", files["kernels_amd64.s"], "-stubs", files["kernels_amd64.go"], "-pkg", "cpu")
	run.Dir = "asm"
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("generating: %v: %s", err, out)
	}
	for committed, generated := range files {
		if !bytes.Equal(body(t, committed), body(t, generated)) {
			t.Errorf("%s is not what asm generates: run go generate ./gpu/cpu", committed)
		}
	}
}

// body returns a file without its first line, which names the command.
func body(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(data, []byte("\n"))
	return bytes.ReplaceAll(rest, []byte("\r\n"), []byte("\n"))
}
