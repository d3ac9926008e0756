package jinja

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// now is the time at which testdata was rendered.
var now = time.Date(2026, 11, 24, 9, 5, 7, 0, time.UTC)

type renderCase struct {
	Template string
	Rendered *string
	Error    string
}

// readCases reads templates with what Jinja2 3.1.6 renders from them, set up as transformers sets it up.
func readCases(t testing.TB) (*Dict, []renderCase) {
	data, err := os.ReadFile(filepath.Join("testdata", "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Variables json.RawMessage
		Cases     []renderCase
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	vars, err := FromJSON(file.Variables)
	if err != nil {
		t.Fatal(err)
	}
	return vars.(*Dict), file.Cases
}

// TestReference compares every construct with Jinja2: the same text, or an error where it has one.
func TestReference(t *testing.T) {
	vars, cases := readCases(t)
	if len(cases) < 200 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		got, err := render(c.Template, vars)
		var place *Error
		switch {
		case c.Rendered != nil && err != nil:
			t.Errorf("%s\n  error %v\n  want  %q", c.Template, err, *c.Rendered)
		case c.Rendered != nil && got != *c.Rendered:
			t.Errorf("%s\n  got  %q\n  want %q", c.Template, got, *c.Rendered)
		case c.Rendered == nil && err == nil:
			t.Errorf("%s\n  got  %q\n  want error %s", c.Template, got, c.Error)
		case err != nil && (!errors.As(err, &place) || place.Line < 1 || place.Line > strings.Count(c.Template, "\n")+1):
			t.Errorf("%s: error without a line: %v", c.Template, err)
		}
	}
}

func render(source string, vars *Dict) (string, error) {
	t, err := Parse(source)
	if err != nil {
		return "", err
	}
	return t.Render(vars, now)
}

// TestErrorLines: an error names the line on which a tag or an expression begins, and what is wrong there.
func TestErrorLines(t *testing.T) {
	vars, _ := readCases(t)
	for _, c := range []struct {
		template string
		line     int
		message  string
	}{
		{"a\n{{ x.y.z }}", 2, "'x' is undefined"},
		{"a\n\n{{ n|nofilter }}", 3, `no filter named "nofilter"`},
		{"{% if t %}\n{{ n|nofilter }}{% endif %}", 2, `no filter named "nofilter"`},
		{"\n{{ n is notest }}", 2, `no test named "notest"`},
		{"\n\n{{ nofunction(1) }}", 3, "'nofunction' is undefined"},
		{"\n{{ s.nomethod() }}", 2, "'str object' has no attribute 'nomethod'"},
		{"\n{% nothing %}", 2, `unknown tag "nothing"`},
		{"{% if t %}\n\n", 1, "unexpected end of template"},
		{"{{\n\n1 + }}", 3, "unexpected print statement"},
		{"{% macro m() %}\n\n{{ l.append(1) }}{% endmacro %}\n{{ m() }}", 3, "access to attribute 'append' of 'list' object is unsafe."},
		{"\n{{ strftime_now('%Q') }}", 2, `%Q is not supported`},
		{"{# a\nb #}\n{{ raise_exception('no ' ~ n) }}", 3, "no 7"},
		{"{{ n\n  | tojson(wrong=1) }}", 2, "filter tojson has no argument 'wrong'"},
	} {
		_, err := render(c.template, vars)
		var e *Error
		if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(e.Message, c.message) {
			t.Errorf("%q: error %v, want line %d: %s", c.template, err, c.line, c.message)
			continue
		}
		if e.Raised != strings.Contains(c.template, "raise_exception") {
			t.Errorf("%q: raised %v", c.template, e.Raised)
		}
	}
}

// TestBounds: what would take forever or fill the memory is an error, and soon.
func TestBounds(t *testing.T) {
	nest := func(open, close string) string { return strings.Repeat(open, 500) + "1" + strings.Repeat(close, 500) }
	for _, template := range []string{
		"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
		"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
		"{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
		"{{ 'x' * 99999999999 }}",
		"{{ [1] * 99999999999 }}",
		"{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
		"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
		"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
		"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
		"{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
		"{{ '%99999999d' % 1 }}", "{{ '{:99999999}'.format('') }}", "{{ 'x'.center(99999999) }}", "{{ 'x'.replace('', 'y' * 9999999) }}",
		"{{ ('x' * 9999999)|replace('x', 'y' * 9999) }}", "{{ [1]|batch(999999999, 0)|list }}", "{{ [1]|slice(999999999)|list }}",
		"{{ ('\\n' * 999999)|indent(99999) }}", "{{ range(99999)|join('y' * 9999) }}", "{{ [[[1]]]|tojson(indent=99999999) }}",
		"{{ '\\t'.expandtabs(999999999) }}", "{{ 10 ** 999 }}", "{{ 9223372036854775807 + 1 }}", "{{ range(9223372036854775807) }}",
		"{{ '1'.zfill(999999999) }}", "{{ ('a,' * 999999).split(',')|join('x' * 999) }}",
		nest("{{ ", " }}"), "{{ " + nest("(", ")") + " }}", "{{ " + nest("[", "]") + " }}", "{{ " + nest("not ", "") + " }}", "{{ " + nest("-", "") + " }}",
		nest("{% if 1 %}", "{% endif %}"), "{% set " + nest("(", ")") + " = 1 %}",
		"{% set a = namespace(x=[1]) %}{% set b = namespace(x=[1]) %}{% for i in range(60) %}{% set a.x = [a.x, a.x] %}{% set b.x = [b.x, b.x] %}{% endfor %}{{ a.x == b.x }}",
		"{% set ns = namespace(x=(1,)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ {ns.x: 1} }}",
		"{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}",
	} {
		start := time.Now()
		_, err := render(template, NewDict())
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.60s: error %v", template, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%.60s: took %v", template, took)
		}
	}
	if _, err := Parse(strings.Repeat(" ", maxSource+1)); err == nil {
		t.Error("a huge template was read")
	}
}

// TestInputUnchanged: two renderings of the same input are the same.
func TestInputUnchanged(t *testing.T) {
	vars, cases := readCases(t)
	before := text(0, vars)
	for _, c := range cases {
		if tmpl, err := Parse(c.Template); err == nil {
			a, _ := tmpl.Render(vars, now)
			if b, _ := tmpl.Render(vars, now); a != b {
				t.Errorf("%s: %q, then %q", c.Template, a, b)
			}
		}
	}
	if text(0, vars) != before {
		t.Error("a template changed its input")
	}
}

func TestFromJSON(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`{"b":1,"a":[true,null,"é\n"],"b":2}`, `{'b': 2, 'a': [True, None, 'é\n']}`},
		{`[1.0, 1e3, -0.5, 12345678901234567890123]`, `[1.0, 1000.0, -0.5, 12345678901234567890123]`},
	} {
		v, err := FromJSON([]byte(c.json))
		if err != nil || text(0, v) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.json, text(0, v), err, c.want)
		}
	}
	for _, bad := range []string{"", "{", "[1,]", "1 2", `{"a"}`, strings.Repeat("[", 1000)} {
		if _, err := FromJSON([]byte(bad)); err == nil {
			t.Errorf("%.20q: no error", bad)
		}
	}
}

func FuzzRender(f *testing.F) {
	vars, cases := readCases(f)
	for i, c := range cases {
		if i%8 == 0 {
			f.Add(c.Template)
		}
	}
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 1<<10 {
			return
		}
		_, err := render(source, vars)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
	})
}
