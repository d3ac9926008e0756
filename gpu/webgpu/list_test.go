//go:build cgo

package webgpu

import "testing"

func TestList(t *testing.T) {
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		t.Logf("%+v", a)
		if a.Name == "" {
			t.Error("no name")
		}
	}
}
