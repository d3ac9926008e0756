package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/lend"
	"shoal/gpu/webgpu"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"p2p": main,
		"node": func() {
			var node lend.Node
			os.Exit(console.Run(&node, "node", "lend"))
		},
	})
}

// TestScripts runs testdata/script: what the commands do, as a user would type them.
func TestScripts(t *testing.T) {
	fixtures, err := filepath.Abs("../../testdata/fixtures-small")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("FIXTURES", fixtures)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "gpu" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			adapters, err := webgpu.List()
			found := err == nil && len(adapters) > 0
			if !found && os.Getenv("SHOAL_REQUIRE_GPU") == "1" {
				return false, fmt.Errorf("SHOAL_REQUIRE_GPU is set and there is no adapter: %v", err)
			}
			return found, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"flip":   flip,
			"cut":    cut,
			"edit":   edit,
			"lend":   lendAs,
			"halt":   halt,
			"lose":   lose,
			"field":  field,
			"clean":  clean,
			"within": within,
		},
	})
}

// flip FILE OFFSET inverts one byte.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	data[offset] ^= 0xff
	ts.Check(os.WriteFile(path, data, 0o644))
}

// cut FILE SIZE shortens a file.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

// edit FILE OLD NEW replaces the first OLD by NEW, both of which may be written as quoted Go strings.
func edit(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	if !bytes.Contains(data, []byte(args[1])) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, bytes.Replace(data, []byte(args[1]), []byte(args[2]), 1), 0o644))
}

// lendAs NAME ARGS ... starts "node ARGS", waits until it holds its experts, and sets NAME to its first address. The node is
// ended with the script, if not before by halt.
func lendAs(ts *testscript.TestScript, _ bool, args []string) {
	name := args[0]
	program, err := exec.LookPath("node") // the test binary, in the folder that testscript puts first in PATH
	ts.Check(err)
	c := exec.Command(program, append([]string{"--json", "--listen", "/ip4/127.0.0.1/tcp/0"}, args[1:]...)...)
	c.Dir, c.Env = ts.MkAbs("."), os.Environ()
	stdout, err := c.StdoutPipe()
	ts.Check(err)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	ts.Check(c.Start())
	n := &lent{process: c.Process, exited: make(chan struct{})}
	nodes.Store(ts.Getenv("WORK")+name, n)
	ts.Defer(func() { n.end(os.Kill) })

	address := make(chan string, 1)
	go func() {
		defer close(n.exited)
		defer close(address)
		listening := ""
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var e lend.Event
			if json.Unmarshal(lines.Bytes(), &e) != nil {
				continue
			}
			switch e.Event {
			case "listening":
				listening = e.Addresses[0]
			case "holding":
				address <- listening
			}
		}
		n.err = c.Wait()
	}()
	select {
	case a, ok := <-address:
		if !ok {
			ts.Fatalf("node %v ended: %s", args[1:], stderr.String())
		}
		ts.Setenv(name, a)
	case <-time.After(60 * time.Second):
		ts.Fatalf("node %v does not hold its experts after a minute", args[1:])
	}
}

// nodes are the running nodes of all scripts, by work folder and name.
var nodes sync.Map

type lent struct {
	process *os.Process
	exited  chan struct{}
	err     error // once exited is closed
}

func (n *lent) end(signal os.Signal) error {
	_ = n.process.Signal(signal)
	<-n.exited
	return n.err
}

// halt NAME sends SIGTERM and checks that the node ends cleanly; halt -kill NAME sends SIGKILL.
func halt(ts *testscript.TestScript, _ bool, args []string) {
	name := args[len(args)-1]
	n, ok := nodes.Load(ts.Getenv("WORK") + name)
	if !ok {
		ts.Fatalf("no node %s", name)
	}
	if args[0] == "-kill" {
		_ = n.(*lent).end(os.Kill)
		return
	}
	if err := n.(*lent).end(syscall.SIGTERM); err != nil {
		ts.Fatalf("node %s did not end cleanly: %v", name, err)
	}
}

// lose NAME FILE ARGS ... runs "p2p ARGS", which streams text, and kills the node once 40 bytes of it have come. The text goes to
// FILE, with "!" the error too: the command must then fail within 5 seconds of the loss.
func lose(ts *testscript.TestScript, neg bool, args []string) {
	n, ok := nodes.Load(ts.Getenv("WORK") + args[0])
	if !ok {
		ts.Fatalf("no node %s", args[0])
	}
	program, err := exec.LookPath("p2p")
	ts.Check(err)
	c := exec.Command(program, args[2:]...)
	c.Dir, c.Env = ts.MkAbs("."), os.Environ()
	var stderr bytes.Buffer
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	ts.Check(err)
	ts.Check(c.Start())
	text := make([]byte, 40)
	if _, err := io.ReadFull(stdout, text); err != nil {
		_ = c.Wait()
		ts.Fatalf("p2p %v ended early: %v %s", args[2:], err, stderr.String())
	}
	_ = n.(*lent).end(os.Kill)
	lost := time.Now()
	rest, _ := io.ReadAll(stdout)
	err = c.Wait()
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), slices.Concat(text, rest, stderr.Bytes()), 0o644))
	switch took := time.Since(lost); {
	case neg && err == nil:
		ts.Fatalf("p2p %v went on without the node", args[2:])
	case neg && c.ProcessState.ExitCode() != 1:
		ts.Fatalf("p2p %v: %v, want exit code 1", args[2:], err)
	case neg && took > 5*time.Second:
		ts.Fatalf("p2p %v failed only %v after the node was lost", args[2:], took)
	case !neg && err != nil:
		ts.Fatalf("p2p %v: %v %s", args[2:], err, stderr.String())
	}
}

// field FILE PATH [VALUE] checks a value of a JSON file: PATH is keys between dots. With "!" it must differ, without VALUE it
// must be neither zero nor empty. "@FILE" as VALUE compares with the same path of another file.
func field(ts *testscript.TestScript, neg bool, args []string) {
	got := lookup(ts, args[0], args[1])
	if len(args) == 2 {
		if empty := got == "" || got == "0" || got == "null" || got == "[]" || got == "{}" || got == "false"; empty != neg {
			ts.Fatalf("%s: %s is %s", args[0], args[1], got)
		}
		return
	}
	want := args[2]
	if other, ok := strings.CutPrefix(want, "@"); ok {
		want = lookup(ts, other, args[1])
	}
	if (got == want) == neg {
		ts.Fatalf("%s: %s is %s, compared with %s", args[0], args[1], got, want)
	}
}

func lookup(ts *testscript.TestScript, file, path string) string {
	data := ts.ReadFile(file)
	var value any
	ts.Check(json.Unmarshal([]byte(data), &value))
	for key := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if key == "length" {
				value = float64(len(v))
				continue
			}
			ts.Check(err)
			value = v[i]
		default:
			ts.Fatalf("%s: no %s in %s", file, key, path)
		}
	}
	if s, ok := value.(string); ok {
		return s
	}
	out, err := json.Marshal(value)
	ts.Check(err)
	return string(out)
}

// clean checks that nothing but the named files and folders lies in the work folder.
func clean(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs("."))
	ts.Check(err)
	var extra []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(args, e.Name()) {
			extra = append(extra, e.Name())
		}
	}
	if extra != nil {
		ts.Fatalf("left behind: %v", extra)
	}
}

// within SECONDS COMMAND ... runs a command that must fail within that time.
func within(ts *testscript.TestScript, _ bool, args []string) {
	limit, err := strconv.ParseFloat(args[0], 64)
	ts.Check(err)
	start := time.Now()
	err = ts.Exec(args[1], args[2:]...)
	if err == nil {
		ts.Fatalf("%v succeeded", args[1:])
	}
	if took := time.Since(start).Seconds(); took > limit {
		ts.Fatalf("%v failed only after %.1f s: %v", args[1:], took, err)
	}
}
