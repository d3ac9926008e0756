package experts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParseRanges reads a list of layers or experts as flags and error messages write it: numbers and inclusive ranges between
// commas, such as "0-3,7". what names the numbers in errors ("layer"), and every number must be below limit.
// The result is ascending, without repeats.
func ParseRanges(what, list string, limit int) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return nil, fmt.Errorf("%ss %q: an empty entry; write numbers and ranges such as 0-3,7", what, list)
		}
		first, last, isRange := strings.Cut(part, "-")
		from, err := parseNumber(what, list, first, limit)
		if err != nil {
			return nil, err
		}
		to := from
		if isRange {
			if to, err = parseNumber(what, list, last, limit); err != nil {
				return nil, err
			}
		}
		if to < from {
			return nil, fmt.Errorf("%ss %q: range %s ends before it begins", what, list, part)
		}
		for n := from; n <= to; n++ {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func parseNumber(what, list, s string, limit int) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%ss %q: %q is not a number; write numbers and ranges such as 0-3,7", what, list, s)
	}
	if int(n) >= limit {
		if limit <= 0 {
			return 0, fmt.Errorf("%ss %q: there are none", what, list)
		}
		return 0, fmt.Errorf("%ss %q: %s %d does not exist, the last is %d", what, list, what, n, limit-1)
	}
	return int(n), nil
}

// FormatRanges writes ascending numbers as [ParseRanges] reads them.
func FormatRanges(numbers []int) string {
	var b strings.Builder
	for i := 0; i < len(numbers); {
		end := i
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(numbers[i]))
		if end > i {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(numbers[end]))
		}
		i = end + 1
	}
	return b.String()
}
