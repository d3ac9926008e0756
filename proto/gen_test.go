package proto

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// protoc writes its own version into a comment; that alone does not make the code stale.
var protocVersion = regexp.MustCompile(`(?m)^//\s+(- )?protoc\s+v.*$`)

// TestGeneratedCodeIsFresh makes the code again and compares it with what is committed.
func TestGeneratedCodeIsFresh(t *testing.T) {
	if _, err := exec.LookPath("protoc"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("protoc is not installed (Debian: protobuf-compiler)")
		}
		t.Skip("protoc is not installed")
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "./internal/generate", "-out", dir).CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, out)
	}
	made, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	committed, _ := filepath.Glob("shoalpb/*.go")
	if len(made) == 0 || len(made) != len(committed) {
		t.Fatalf("%d files generated, %d committed: run go generate ./proto", len(made), len(committed))
	}
	for _, f := range made {
		want, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("shoalpb", filepath.Base(f)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(protocVersion.ReplaceAll(got, nil), protocVersion.ReplaceAll(want, nil)) {
			t.Errorf("shoalpb/%s is stale: run go generate ./proto", filepath.Base(f))
		}
	}
}
