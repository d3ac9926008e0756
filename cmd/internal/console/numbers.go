package console

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes writes a size for people: "12.3 MB", powers of 1000.
func Bytes(n int64) string { return scaled(n, "B") }

// Count returns a function that writes numbers of something: "12.3 M tokens".
func Count(noun string) func(int64) string {
	return func(n int64) string { return scaled(n, noun) }
}

// scaled writes n with a prefix of powers of 1000. A one-letter unit joins its prefix, a word stands apart.
func scaled(n int64, unit string) string {
	if n < 1000 {
		return fmt.Sprintf("%d %s", n, unit)
	}
	value, prefixes := float64(n), "kMGTP"
	prefix := -1
	for value >= 1000 && prefix < len(prefixes)-1 {
		value /= 1000
		prefix++
	}
	space := " "
	if len(unit) == 1 {
		space = ""
	}
	return fmt.Sprintf("%.1f %c%s%s", value, prefixes[prefix], space, unit)
}

// Size is a number of bytes on a command line: "8GB", "512MB", "1.5GiB" or a plain number of bytes.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}, {"b", 1}, {"", 1},
}

// UnmarshalText reads a size; kong calls it.
func (s *Size) UnmarshalText(text []byte) error {
	word := strings.ToLower(strings.TrimSpace(string(text)))
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(word, unit.suffix)
		if !ok {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || value < 0 || value*unit.bytes > math.MaxInt64/2 {
			break
		}
		*s = Size(value * unit.bytes)
		return nil
	}
	return errors.New("want a size such as 8GB, 512MB or 1.5GiB")
}
