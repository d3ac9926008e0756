// Command generate runs protoc over the .proto files of its working directory with the protoc-gen-go that go.mod names, so
// that everybody gets the same code whatever is installed. It needs protoc (Debian: protobuf-compiler).
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("out", "shoalpb", "folder that the Go files are written to")
	flag.Parse()
	if err := generate(*out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(out string) error {
	files, err := filepath.Glob("*.proto")
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no .proto file here: run it in proto/, or with go generate ./proto")
	}
	// "go tool -n" builds the tool where needed and prints where it lies.
	plugin, err := exec.Command("go", "tool", "-n", "protoc-gen-go").Output()
	if err != nil {
		return fmt.Errorf("go tool -n protoc-gen-go: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	args := append([]string{
		"--plugin=protoc-gen-go=" + strings.TrimSpace(string(plugin)),
		"--proto_path=.",
		"--go_out=" + out,
		"--go_opt=module=shoal/proto/shoalpb",
	}, files...)
	cmd := exec.Command("protoc", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
