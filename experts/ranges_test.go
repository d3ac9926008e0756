package experts

import (
	"slices"
	"strings"
	"testing"
)

func TestParseRanges(t *testing.T) {
	tests := []struct {
		list  string
		limit int
		want  []int
		err   string
	}{
		{"0", 1, []int{0}, ""},
		{"0-3,7", 8, []int{0, 1, 2, 3, 7}, ""},
		{" 5 , 1 - 2 ", 8, []int{1, 2, 5}, ""},
		{"2-4,3-5,4", 8, []int{2, 3, 4, 5}, ""},
		{"", 8, nil, "empty entry"},
		{"1,", 8, nil, "empty entry"},
		{"x", 8, nil, `"x" is not a number`},
		{"1-", 8, nil, `"" is not a number`},
		{"-1", 8, nil, `"" is not a number`},
		{"3-1", 8, nil, "range 3-1 ends before it begins"},
		{"0-8", 8, nil, "layer 8 does not exist, the last is 7"},
		{"99999999999999999999", 8, nil, "is not a number"},
		{"0", 0, nil, "there are none"},
	}
	for _, tt := range tests {
		got, err := ParseRanges("layer", tt.list, tt.limit)
		if tt.err == "" && (err != nil || !slices.Equal(got, tt.want)) {
			t.Errorf("ParseRanges(%q, %d) = %v, %v; want %v", tt.list, tt.limit, got, err, tt.want)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), "layers")) {
			t.Errorf("ParseRanges(%q, %d) = %v, %v; want an error with %q", tt.list, tt.limit, got, err, tt.err)
		}
	}
}

func TestFormatRanges(t *testing.T) {
	for _, list := range []string{"", "4", "0-1", "0-3,7", "1,3,5-6"} {
		var numbers []int
		if list != "" {
			var err error
			if numbers, err = ParseRanges("expert", list, 100); err != nil {
				t.Fatal(err)
			}
		}
		if got := FormatRanges(numbers); got != list {
			t.Errorf("FormatRanges(%v) = %q, want %q", numbers, got, list)
		}
	}
}
