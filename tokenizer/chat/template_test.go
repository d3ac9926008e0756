package chat

import (
	"encoding/json"
	"errors"
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
