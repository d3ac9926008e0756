package rdrr

import "encoding/json"

// wireManifest has every spelling of the fields that a reader needs, from all writers known. Fields not listed are ignored.
type wireManifest struct {
	Version       json.RawMessage `json:"version"` // 1, "1" or "1.0"
	ModelID       string          `json:"modelId"`
	ModelType     string          `json:"modelType"`
	Quantization  string          `json:"quantization"`
	Config        json.RawMessage `json:"config"`
	HashAlgorithm string          `json:"hashAlgorithm"`
	Shards        json.RawMessage `json:"shards"`
	Tensors       json.RawMessage `json:"tensors"` // inline, or
	TensorsFile   string          `json:"tensorsFile"`
	TensorCount   *int64          `json:"tensorCount"`
	TotalSize     *int64          `json:"totalSize"`
	MoE           json.RawMessage `json:"moeConfig"`
	Groups        json.RawMessage `json:"groups"`
	Files         json.RawMessage `json:"files"`
	Layout        string          `json:"defaultWeightLayout"`
	Conversion    struct {
		Quantization struct {
			Layout string `json:"layout"`
		} `json:"quantization"`
	} `json:"conversion"`
	QuantizationInfo struct {
		Layout string `json:"layout"`
	} `json:"quantizationInfo"`
}

type wireShard struct {
	Index     *int   `json:"index"`
	Filename  string `json:"filename"`
	FileName  string `json:"fileName"` // version "1.0"
	Size      int64  `json:"size"`
	Offset    *int64 `json:"offset"`
	Hash      string `json:"hash"`
	Blake3    string `json:"blake3"` // version "1.0"
	Algorithm string `json:"hashAlgorithm"`
}

type wireTensor struct {
	Shard      *int       `json:"shard"`
	ShardIndex *int       `json:"shardIndex"` // version "1.0"
	Offset     int64      `json:"offset"`
	Size       int64      `json:"size"`
	Shape      []int      `json:"shape"`
	DType      string     `json:"dtype"`
	Role       Role       `json:"role"`
	Layout     string     `json:"layout"`
	Spans      []wireSpan `json:"spans"`
}

type wireSpan struct {
	Shard      *int  `json:"shard"`
	ShardIndex *int  `json:"shardIndex"`
	Offset     int64 `json:"offset"`
	Size       int64 `json:"size"`
}

type wireFile struct {
	Size      int64  `json:"size"`
	Hash      string `json:"hash"`
	Algorithm string `json:"hashAlgorithm"`
}
