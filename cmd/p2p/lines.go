package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// maxLine bounds one line of input.
const maxLine = 64 << 20

// eachLine answers every line of in with a line of JSON on w. An error of answer ends it after what was answered before.
func eachLine(in io.Reader, w io.Writer, answer func(line []byte) (any, error)) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	out := bufio.NewWriter(w)
	for number := 1; lines.Scan(); number++ {
		value, err := answer(lines.Bytes())
		if err != nil {
			_ = out.Flush()
			return fmt.Errorf("line %d: %w", number, err)
		}
		var encoded bytes.Buffer
		encoder := json.NewEncoder(&encoded) // ends with a line break
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			return err
		}
		if _, err := out.Write(encoded.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading standard input: %w", err)
	}
	return out.Flush()
}
