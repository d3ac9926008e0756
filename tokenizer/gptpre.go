package tokenizer

import (
	"strings"
)

// gptPre is what the name of a pre-tokenizer stands for.
type gptPre struct {
	patterns []string // applied one after another
	whole    bool     // a word that is a token is not merged
	bos      bool     // a beginning-of-text token is added unless the file says otherwise
	nfc      bool     // text is normalized first
}

// gptPres are the pre-tokenizers by name. Their patterns are the published tokenizers' own.
var gptPres = func() map[string]gptPre {
	cl100k := wordPattern{short: true, digits: 3}.regex()
	qwen2 := wordPattern{short: true, digits: 1}.regex()
	o200k := wordPattern{short: true, cased: true, digits: 3, slash: true}.regex()
	marks := `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	deepseek := []string{`\p{N}{1,3}`, `[一-龥\u3040-ゟ゠-ヿ]+`,
		"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}
	pres := make(map[string]gptPre)
	for _, group := range []struct {
		names string
		pre   gptPre
	}{
		{"llama-bpe llama3 llama-v3 falcon3 pixtral", gptPre{patterns: []string{cl100k}, whole: true, bos: true}},
		{"glm4 chatglm-bpe dbrx smaug-bpe", gptPre{patterns: []string{cl100k}}},
		{"qwen2", gptPre{patterns: []string{qwen2}, nfc: true}},
		{"deepseek-r1-qwen stablelm2 megrez hunyuan", gptPre{patterns: []string{qwen2}}},
		{"qwen35", gptPre{patterns: []string{marks}, nfc: true}},
		{"gpt-4o llama4 kanana2", gptPre{patterns: []string{o200k}}},
		{"tekken", gptPre{patterns: []string{wordPattern{cased: true, digits: 1, slash: true}.regex()}, whole: true, bos: true}},
		{"kimi-k2", gptPre{patterns: []string{KimiPattern}}},
		{"deepseek-v3 hunyuan-dense", gptPre{patterns: deepseek}},
		{"gpt-2 phi-2 mpt olmo jais exaone4", gptPre{patterns: []string{gpt2Pattern}}},
		{"smollm starcoder refact command-r codeshell exaone", gptPre{patterns: []string{`\p{N}`, gpt2Pattern}}},
	} {
		for _, name := range strings.Fields(group.names) {
			pres[name] = group.pre
		}
	}
	return pres
}()

// splitSteps returns the steps that split by patterns, one after another.
func splitSteps(patterns []string) ([]splitStep, error) {
	var steps []splitStep
	for _, p := range patterns {
		if w := wordPatterns[p]; w != nil {
			steps = append(steps, wordStep{w})
			continue
		}
		re, err := compileRegex(p)
		if err != nil {
			return nil, err
		}
		steps = append(steps, patternStep{find: re.find, to: isolated})
	}
	return steps, nil
}
