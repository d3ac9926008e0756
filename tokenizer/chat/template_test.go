package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/tokenizer/chat/jinja"
)

// fixed is the time at which the reference renderings were made.
func fixed() time.Time { return time.Date(2026, 11, 24, 9, 5, 7, 0, time.UTC) }

// renderCase is one rendering of the reference: text, or the error that it failed with.
type renderCase struct {
	Case     string
	Input    json.RawMessage
	Rendered *string
	Error    string
}

// TestPublishedTemplates compares published templates with what Jinja2 renders, where they lie beside the repository.
func TestPublishedTemplates(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(shared(t), "templates", "*.jinja"))
	if len(files) == 0 {
		t.Skip("no shared templates")
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".jinja"), func(t *testing.T) {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(strings.TrimSuffix(path, ".jinja") + ".vectors.json")
			if err != nil {
				t.Fatal(err)
			}
			checkCases(t, string(source), data)
		})
	}
}

func checkCases(t *testing.T, source string, data []byte) {
	t.Helper()
	var cases []renderCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	tmpl, err := Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	tmpl = tmpl.WithTime(fixed)
	for _, c := range cases {
		start := time.Now()
		got, err := tmpl.RenderJSON(c.Input)
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("%s: took %v", c.Case, took)
		}
		if c.Rendered != nil {
			if err != nil {
				t.Errorf("%s: %v", c.Case, err)
			} else if got != *c.Rendered {
				t.Errorf("%s: rendered\n%q, want\n%q", c.Case, got, *c.Rendered)
			}
			continue
		}
		var place *jinja.Error
		if !errors.As(err, &place) || place.Line < 1 {
			t.Errorf("%s: error %v, want one with a line (%s)", c.Case, err, c.Error)
			continue
		}
		if message, raised := strings.CutPrefix(c.Error, "TemplateError: "); raised && (!place.Raised || place.Message != message) {
			t.Errorf("%s: error %q, want %q", c.Case, place.Message, message)
		}
	}
}

// shared returns the folder of larger test data beside the repository, which need not exist.
func shared(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared")
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above")
	return ""
}

// TestOwnTemplate does the same with a template of the project's own, in testdata.
func TestOwnTemplate(t *testing.T) {
	checkCases(t, testFile(t, "turns.jinja"), []byte(testFile(t, "turns.vectors.json")))
}

func testFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestRender(t *testing.T) {
	config := `{"bos_token":{"content":"<s>"},"eos_token":"</s>","pad_token":null,"chat_template":[
		{"name":"default","template":"{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}{{ tools is none }}{{ x|default('-') }}"},
		{"name":"short","template":"{{ messages|length }}"}]}`
	messages := json.RawMessage(`[{"role":"user","content":"hi"}]`)
	for _, c := range []struct {
		file, name, want string
		extra            map[string]json.RawMessage
	}{
		{want: "<s>user:hi</s>True-"},
		{want: "<s>user:hi</s>True5", extra: map[string]json.RawMessage{"x": json.RawMessage("5")}},
		{name: "short", want: "1"},
		{file: "{{ bos_token }}file", want: "<s>file"},
		{file: "file", name: "short", want: "1"},
	} {
		tmpl, err := FromConfig([]byte(config), []byte(c.file), c.name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Render(Input{Messages: messages, Extra: c.extra})
		if err != nil || got != c.want {
			t.Errorf("%q %q: %q, %v, want %q", c.file, c.name, got, err, c.want)
		}
	}
	for _, c := range []struct{ config, name, want string }{
		{`{}`, "", "no chat template"},
		{config, "tool_use", `none is named "tool_use", there are ["default" "short"]`},
		{`{"chat_template":5}`, "", "want a text or a list"},
		{`{"chat_template":"{% if %}"}`, "", "line 1"},
		{`{"chat_template":"x","bos_token":5}`, "", "bos_token"},
		{`[`, "", "tokenizer_config.json"},
	} {
		if _, err := FromConfig([]byte(c.config), nil, c.name); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want it to say %s", c.config, err, c.want)
		}
	}
	if _, err := FromConfig([]byte(`{}`), nil, ""); !errors.Is(err, ErrNone) {
		t.Errorf("error %v is not ErrNone", err)
	}
	tmpl, err := Parse("{{ x }}")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "[]", `{"x":}`, `{"x":1}{`} {
		if _, err := tmpl.RenderJSON([]byte(bad)); err == nil {
			t.Errorf("input %q: no error", bad)
		}
	}
	if _, err := tmpl.Render(Input{Messages: json.RawMessage("[")}); err == nil || !strings.Contains(err.Error(), "messages") {
		t.Errorf("broken messages: %v", err)
	}
}

func TestStopTokens(t *testing.T) {
	for config, want := range map[string]string{`{"eos_token_id":3}`: "[3]", `{"eos_token_id":[1,2]}`: "[1 2]", `{}`: "[]", `{"eos_token_id":null}`: "[]"} {
		if ids, err := StopTokens([]byte(config)); err != nil || fmt.Sprint(ids) != want {
			t.Errorf("%s: %v, %v", config, ids, err)
		}
	}
	for _, bad := range []string{`{"eos_token_id":"x"}`, `{"eos_token_id":[1.5]}`, `[`} {
		if _, err := StopTokens([]byte(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// BenchmarkRender renders a conversation of 60 turns; the target is under 5 ms.
func BenchmarkRender(b *testing.B) {
	tmpl, err := Parse(testFile(b, "turns.jinja"))
	if err != nil {
		b.Fatal(err)
	}
	var turns []string
	for i := range 60 {
		turns = append(turns, fmt.Sprintf(`{"role":%q,"content":%q}`, []string{"user", "assistant"}[i%2], strings.Repeat("Some words of it. ", 20)))
	}
	in := Input{Messages: json.RawMessage("[" + strings.Join(turns, ",") + "]"), AddGenerationPrompt: true}
	for b.Loop() {
		if _, err := tmpl.Render(in); err != nil {
			b.Fatal(err)
		}
	}
}
