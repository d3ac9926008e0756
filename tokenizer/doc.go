// Package tokenizer turns text into token ids and back, as the files that models are published with say.
//
// [Load] reads a Hugging Face tokenizer.json, [FromVocab] the vocabulary of a GGUF file, [FromTiktoken] a tiktoken rank file.
// All three give a [Tokenizer]: BPE over bytes or over characters (the SentencePiece kind, with byte fallback), behind the
// file's own normalizer, splitting patterns, added tokens and post-processor. A [Decoder] turns ids back into text one
// at a time without ever giving out part of a character.
//
// A file that asks for something else (a Unigram or WordPiece model, a normalizer that is not known here, dropout) is refused
// with an error that names it: ids that are almost right are worse than none. Truncation and padding are a batch's business
// and are not read. Chat templates are the sub-package chat.
package tokenizer
