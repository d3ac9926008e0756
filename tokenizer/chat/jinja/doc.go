// Package jinja renders Jinja2 templates as Hugging Face transformers sets Jinja2 (3.1) up for chat templates: sandboxed and
// immutable, trim_blocks, lstrip_blocks, loop controls, the generation tag, a plain tojson, raise_exception, strftime_now.
//
// It is the part of the language that chat templates can use: no inheritance, no includes or imports, no auto-escaping. What
// it does not know is an error with the name and the template's line, never empty text. Values behave as Python's do: strings
// are indexed by character, an out-of-range index is undefined, a list prints as Python prints it.
//
// Templates come with checkpoints from strangers, so a rendering is bounded in steps, depth and output, and can neither
// change its input nor reach anything but it.
package jinja
