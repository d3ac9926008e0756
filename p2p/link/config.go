package link

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Config says what a link is like. The zero value is a perfect link.
type Config struct {
	RTT    time.Duration // of a small message and its answer, without what the ends take
	Jitter time.Duration // round trips vary by up to this, either way
	Loss   Loss          // share of segments that are lost, each way
	Rate   Rate          // of the line, each way; 0: without limit
	Seed   uint64        // of jitter and loss: connections opened in the same order see the same draws
}

// Loss is a probability; as text a share or a percentage, such as 0.001 or 0.1%.
type Loss float64

// Rate is in bits per second; as text a number with bit, kbit, mbit or gbit, such as 20mbit.
type Rate float64

// bounds keep a typing error from stopping everything for hours.
const (
	maxRTT  = time.Minute
	maxLoss = 0.5
	minRate = 1e3
)

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if c.RTT < 0 || c.RTT > maxRTT {
		errs = append(errs, fmt.Errorf("round-trip time %v: want 0 to %v", c.RTT, maxRTT))
	}
	if c.Jitter < 0 || c.Jitter > c.RTT {
		errs = append(errs, fmt.Errorf("jitter %v: want 0 to the round-trip time, %v", c.Jitter, c.RTT))
	}
	if !(c.Loss >= 0 && c.Loss <= maxLoss) {
		errs = append(errs, fmt.Errorf("loss %v: want 0 to %v", c.Loss, Loss(maxLoss)))
	}
	if c.Rate != 0 && !(c.Rate >= minRate && c.Rate <= 1e15) {
		errs = append(errs, fmt.Errorf("rate %v: want at least %v", c.Rate, Rate(minRate)))
	}
	return errors.Join(errs...)
}

// Perfect reports whether the link changes nothing.
func (c Config) Perfect() bool { return c.RTT == 0 && c.Loss == 0 && c.Rate == 0 }

func (c Config) String() string {
	if c.Perfect() {
		return "perfect link"
	}
	s := fmt.Sprintf("rtt %v", c.RTT)
	if c.Jitter > 0 {
		s += fmt.Sprintf(", jitter %v", c.Jitter)
	}
	if c.Loss > 0 {
		s += fmt.Sprintf(", loss %v", c.Loss)
	}
	if c.Rate > 0 {
		s += fmt.Sprintf(", %v each way", c.Rate)
	}
	return s
}

// UnmarshalText reads a share or a percentage.
func (l *Loss) UnmarshalText(text []byte) error {
	s, percent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is no loss: want a share or a percentage, such as 0.1%%", text)
	}
	*l = Loss(v)
	return nil
}

func (l Loss) String() string { return strconv.FormatFloat(100*float64(l), 'g', 6, 64) + "%" }

// units are the names of rates, longest first where one ends with another.
var units = []struct {
	name string
	bits float64
}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

// UnmarshalText reads a number and a unit.
func (r *Rate) UnmarshalText(text []byte) error {
	s := strings.ToLower(strings.TrimSpace(string(text)))
	for _, u := range units {
		if number, ok := strings.CutSuffix(s, u.name); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err != nil || !(v > 0 && v*u.bits <= 1e15) {
				break
			}
			*r = Rate(v * u.bits)
			return nil
		}
	}
	return fmt.Errorf("%q is no rate: want a number and a unit, such as 20mbit, 800kbit or 1gbit", text)
}

func (r Rate) String() string {
	for _, u := range units {
		if float64(r) >= u.bits {
			return strconv.FormatFloat(float64(r)/u.bits, 'g', 6, 64) + u.name
		}
	}
	return strconv.FormatFloat(float64(r), 'g', 6, 64) + "bit"
}
