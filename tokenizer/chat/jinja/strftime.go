package jinja

import (
	"strings"
)

// strftime formats the rendering's time as C's strftime does in the C locale.
func strftime(c *call, format string) string {
	t := c.s.now
	layouts := map[byte]string{'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'b': "Jan", 'h': "Jan", 'B': "January",
		'a': "Mon", 'A': "Monday", 'p': "PM", 'I': "03", 'j': "002", 'e': "_2", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04",
		'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05", 'f': "000000"}
	short := map[byte]string{'d': "2", 'm': "1", 'I': "3"}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		i++
		switch layout := ""; {
		case i < len(format) && layouts[format[i]] != "":
			if layout = layouts[format[i]]; format[i] == 'f' {
				b.WriteString(t.Format(".000000")[1:])
				break
			}
			b.WriteString(t.Format(layout))
		case i < len(format) && format[i] == '%':
			b.WriteByte('%')
		case i < len(format) && (format[i] == 'Z' || format[i] == 'z'): // the time has no zone, as datetime.now() has none
		case i+1 < len(format) && format[i] == '-' && short[format[i+1]] != "":
			i++
			b.WriteString(t.Format(short[format[i]]))
		case i+1 < len(format) && format[i] == '-' && strings.IndexByte("HMSyj", format[i+1]) >= 0:
			i++
			n := strings.TrimLeft(t.Format(layouts[format[i]]), "0")
			if n == "" {
				n = "0"
			}
			b.WriteString(n)
		default:
			fail(c.line, "strftime_now: format %q: %%%s is not supported", format, format[min(i, len(format)):min(i+1, len(format))])
		}
	}
	return b.String()
}
