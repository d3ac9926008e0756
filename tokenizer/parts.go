package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// partJSON is any normalizer, pre-tokenizer or decoder of a tokenizer.json.
type partJSON struct {
	Type            string            `json:"type"`
	Normalizers     []json.RawMessage `json:"normalizers"`
	PreTokenizers   []json.RawMessage `json:"pretokenizers"`
	Decoders        []json.RawMessage `json:"decoders"`
	Pattern         *patternJSON      `json:"pattern"`
	Content         string            `json:"content"`
	Prepend         string            `json:"prepend"`
	Behaviour       string            `json:"behavior"`
	Invert          bool              `json:"invert"`
	AddPrefixSpace  *bool             `json:"add_prefix_space"`
	UseRegex        *bool             `json:"use_regex"`
	Replacement     string            `json:"replacement"`
	PrependScheme   *string           `json:"prepend_scheme"`
	Split           *bool             `json:"split"`
	IndividualDigit bool              `json:"individual_digits"`
	Delimiter       string            `json:"delimiter"`
	StripLeft       bool              `json:"strip_left"`
	StripRight      bool              `json:"strip_right"`
	Start           int               `json:"start"`
	Stop            int               `json:"stop"`
}

// open reads one part; nil if there is none.
func open(raw json.RawMessage, depth int) (*partJSON, error) {
	if isNull(raw) {
		return nil, nil
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("sequences nested more than %d deep", maxDepth)
	}
	p := new(partJSON)
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, err
	}
	return p, nil
}

// fallbackTo returns what b points to, or def.
func fallbackTo(b *bool, def bool) bool {
	if b == nil {
		return def
	}
	return *b
}

// metaspace reads the fields that the Metaspace pre-tokenizer and decoder share.
func (p *partJSON) metaspace() (scheme string, err error) {
	if err := oneRune("replacement", p.Replacement); err != nil {
		return "", err
	}
	scheme = "always"
	if p.PrependScheme != nil {
		scheme = *p.PrependScheme
	} else if !fallbackTo(p.AddPrefixSpace, true) {
		scheme = "never"
	}
	switch scheme {
	case "always", "first", "never":
		return scheme, nil
	}
	return "", fmt.Errorf("prepend_scheme %q is not known", scheme)
}

func parseNormalizer(raw json.RawMessage, depth int) (normalizer, error) {
	p, err := open(raw, depth)
	if p == nil {
		return nil, err
	}
	switch p.Type {
	case "Sequence":
		var steps []normalizer
		for i, q := range p.Normalizers {
			n, err := parseNormalizer(q, depth+1)
			if err != nil {
				return nil, fmt.Errorf("normalizers[%d]: %w", i, err)
			}
			if n != nil {
				steps = append(steps, n)
			}
		}
		return chain(steps), nil
	case "NFC":
		return unicodeForm(norm.NFC), nil
	case "NFD":
		return unicodeForm(norm.NFD), nil
	case "NFKC":
		return unicodeForm(norm.NFKC), nil
	case "NFKD":
		return unicodeForm(norm.NFKD), nil
	case "Lowercase":
		return lowercase, nil
	case "StripAccents":
		return stripAccents, nil
	case "Strip":
		return strip(p.StripLeft, p.StripRight), nil
	case "Prepend":
		return prepend(p.Prepend), nil
	case "ByteLevel":
		return bytesToLetters, nil
	case "Replace":
		if err := p.Pattern.valid(); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Type, err)
		}
		if p.Pattern.String != nil {
			if *p.Pattern.String == "" {
				return nil, fmt.Errorf("%s: an empty pattern is not supported", p.Type)
			}
			return replaceAll(*p.Pattern.String, p.Content), nil
		}
		re, err := compileRegex(*p.Pattern.Regex)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Type, err)
		}
		return func(s string) string { return re.replace(s, p.Content) }, nil
	}
	return nil, fmt.Errorf("type %q is not supported", p.Type)
}

func parsePreTokenizer(raw json.RawMessage, depth int) ([]splitStep, error) {
	p, err := open(raw, depth)
	if p == nil {
		return nil, err
	}
	switch p.Type {
	case "Sequence":
		var steps []splitStep
		for i, q := range p.PreTokenizers {
			s, err := parsePreTokenizer(q, depth+1)
			if err != nil {
				return nil, fmt.Errorf("pretokenizers[%d]: %w", i, err)
			}
			steps = append(steps, s...)
		}
		return steps, nil
	case "Split":
		to, err := parseBehaviour(p.Behaviour)
		if err == nil {
			err = p.Pattern.valid()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Type, err)
		}
		if p.Pattern.String != nil {
			return []splitStep{patternStep{findString(*p.Pattern.String), p.Invert, to}}, nil
		}
		// All of the text is matches, so isolating them and removing what does not match come to the same.
		if w := wordPatterns[*p.Pattern.Regex]; w != nil && (to == isolated || to == removed && p.Invert) {
			return []splitStep{wordStep{w}}, nil
		}
		re, err := compileRegex(*p.Pattern.Regex)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Type, err)
		}
		return []splitStep{patternStep{re.find, p.Invert, to}}, nil
	case "ByteLevel":
		var steps []splitStep
		if fallbackTo(p.AddPrefixSpace, true) {
			steps = append(steps, spacePrefixStep{})
		}
		if fallbackTo(p.UseRegex, true) {
			steps = append(steps, wordStep{wordPatterns[gpt2Pattern]})
		}
		return append(steps, byteLettersStep{}), nil
	case "Metaspace":
		scheme, err := p.metaspace()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Type, err)
		}
		return []splitStep{metaspaceStep{p.Replacement, scheme, fallbackTo(p.Split, true)}}, nil
	case "Digits":
		to := contiguous
		if p.IndividualDigit {
			to = isolated
		}
		return []splitStep{patternStep{find: findRunes(unicode.IsNumber), to: to}}, nil
	case "Punctuation":
		to := isolated
		if p.Behaviour != "" {
			if to, err = parseBehaviour(p.Behaviour); err != nil {
				return nil, fmt.Errorf("%s: %w", p.Type, err)
			}
		}
		return []splitStep{patternStep{find: findRunes(isPunctuation), to: to}}, nil
	case "Whitespace":
		return []splitStep{patternStep{find: findSpaces, to: removed}}, nil
	case "WhitespaceSplit":
		return []splitStep{patternStep{find: findRunes(unicode.IsSpace), to: removed}}, nil
	case "CharDelimiterSplit":
		if err := oneRune("delimiter", p.Delimiter); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Type, err)
		}
		return []splitStep{patternStep{find: findString(p.Delimiter), to: removed}}, nil
	}
	return nil, fmt.Errorf("type %q is not supported", p.Type)
}

// parseDecoder reads a decoder. fused tells whether the decoders before it make one token of all, and is kept up to date.
func parseDecoder(raw json.RawMessage, fused *bool, depth int) ([]decodeStep, error) {
	p, err := open(raw, depth)
	if p == nil {
		return nil, err
	}
	// each is for decoders that look at one token at a time: of a fused one they must see all.
	each := func(f func(string) string) []decodeStep {
		if *fused {
			return []decodeStep{func() decodeStage { return &whole{f: f} }}
		}
		return []decodeStep{mapTokens(f)}
	}
	switch p.Type {
	case "Sequence":
		var steps []decodeStep
		for i, q := range p.Decoders {
			s, err := parseDecoder(q, fused, depth+1)
			if err != nil {
				return nil, fmt.Errorf("decoders[%d]: %w", i, err)
			}
			steps = append(steps, s...)
		}
		return steps, nil
	case "ByteLevel":
		if *fused {
			return each(func(s string) string {
				if raw, ok := lettersToBytes(s); ok {
					s = raw
				}
				return repaired([]byte(s))
			}), nil
		}
		*fused = true
		return []decodeStep{func() decodeStage { return new(byteLevel) }}, nil
	case "ByteFallback":
		if *fused {
			return each(func(s string) string {
				if b, ok := byteToken(s); ok {
					s = repaired([]byte{b})
				}
				return s
			}), nil
		}
		return []decodeStep{func() decodeStage { return new(byteFallback) }}, nil
	case "Fuse":
		*fused = true
		return nil, nil
	case "Strip":
		for _, err := range []error{oneRune("content", p.Content), small("start", p.Start), small("stop", p.Stop)} {
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Type, err)
			}
		}
		if *fused && p.Stop == 0 {
			return []decodeStep{func() decodeStage { return &stripStream{p.Content, p.Start, p.Start} }}, nil
		}
		return each(stripEnds(p.Content, p.Start, p.Stop)), nil
	case "Replace":
		if err := p.Pattern.valid(); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Type, err)
		}
		if p.Pattern.Regex != nil {
			re, err := compileRegex(*p.Pattern.Regex)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Type, err)
			}
			return each(func(s string) string { return re.replace(s, p.Content) }), nil
		}
		old := *p.Pattern.String
		if old == "" {
			return nil, fmt.Errorf("%s: an empty pattern is not supported", p.Type)
		}
		f := func(s string) string { return strings.ReplaceAll(s, old, p.Content) }
		if oneRune("", old) == nil {
			return []decodeStep{mapTokens(f)}, nil // the pieces of a fused token can be taken one by one
		}
		return each(f), nil
	case "Metaspace":
		scheme, err := p.metaspace()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Type, err)
		}
		keep, one := scheme == "never", *fused
		return []decodeStep{func() decodeStage {
			return &metaspaceTokens{replacement: p.Replacement, keep: keep, fused: one}
		}}, nil
	}
	return nil, fmt.Errorf("type %q is not supported", p.Type)
}
