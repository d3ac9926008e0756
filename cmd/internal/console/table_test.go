package console

import (
	"bytes"
	"testing"
)

func TestTable(t *testing.T) {
	var table Table
	table.Row("peer", "calls", "p50")
	table.Row("12D3KooWé", 1234, "0.5 ms")
	var out bytes.Buffer
	table.Print(&out)
	if want := "  peer       calls     p50\n  12D3KooWé   1234  0.5 ms\n"; out.String() != want {
		t.Errorf("got\n%q, want\n%q", out.String(), want)
	}
}
