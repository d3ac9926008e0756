package rdrr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// eachMember calls f for the members of a JSON object, in the file's order, and stops at more than limit of them. A name that
// comes twice is an error, since readers differ in which of the two they believe. An absent or null object has no members.
func eachMember(raw json.RawMessage, limit int, what string, f func(name string, value json.RawMessage) error) error {
	if !isPresent(raw) {
		return nil
	}
	if !isObject(raw) {
		return fmt.Errorf("%s is not an object", what)
	}
	seen := map[string]bool{}
	return eachValue(raw, limit, what, func(d *json.Decoder, _ int) error {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name := token.(string) // the decoder accepts nothing else here
		if seen[name] {
			return fmt.Errorf("%s names %.80q twice", what, name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		return f(name, value)
	})
}

// eachElement calls f for the elements of a JSON array and stops at more than limit of them.
func eachElement(raw json.RawMessage, limit int, what string, f func(i int, value json.RawMessage) error) error {
	if !isPresent(raw) {
		return nil
	}
	if raw[0] != '[' {
		return fmt.Errorf("%s is not an array", what)
	}
	return eachValue(raw, limit, what, func(d *json.Decoder, i int) error {
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		return f(i, value)
	})
}

func eachValue(raw json.RawMessage, limit int, what string, f func(d *json.Decoder, i int) error) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return err
	}
	for i := 0; d.More(); i++ {
		if i == limit {
			return fmt.Errorf("%s has over %d entries", what, limit)
		}
		if err := f(d, i); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		return err
	}
	return nil
}
