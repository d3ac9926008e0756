package router

// Report is what a generation did and how fast. Bytes are those that peers' Runners tell through [Metered].
type Report struct {
	// Text is for the caller to fill in: the router knows tokens only.
	Text   string `json:"text"`
	Tokens []int  `json:"tokens"`
	// Stopped says why the generation ended: "stop" (a stop token), "length", "cancelled" or "error".
	Stopped          string  `json:"stopped"`
	PromptTokens     int     `json:"prompt_tokens"`
	TokensPerSecond  float64 `json:"tokens_per_second"` // after the first token
	TimeToFirstToken float64 `json:"time_to_first_token_ms"`

	// RoundTripsPerToken is the network round trips that follow each other, over the tokens they made; of the prompt's passes
	// if there were no others.
	RoundTripsPerToken float64 `json:"round_trips_per_token"`
	// RemoteLayersPerToken is how many layers with experts elsewhere a token passes through. Tokens verified in one pass do so
	// together.
	RemoteLayersPerToken float64 `json:"remote_layers_per_token"`

	// Passes, TokensPerPass are of the passes after the first token: as many as tokens if nothing is guessed.
	Passes        int     `json:"passes"`
	TokensPerPass float64 `json:"tokens_per_pass"`
	// Drafted tokens were guessed and verified; those Accepted are in the text.
	Drafted  int64 `json:"drafted"`
	Accepted int64 `json:"accepted"`
	// DraftError is why a drafter was not asked any more. It is no error of the text.
	DraftError string `json:"draft_error,omitempty"`

	RemoteCalls   int64 `json:"remote_calls"`
	Hedges        int64 `json:"hedges"`
	Failovers     int64 `json:"failovers"`
	BytesSent     int64 `json:"bytes_sent"`
	BytesReceived int64 `json:"bytes_received"`

	// RTT is the mean over calls of the peers' round trip times: as their Runners tell through [Pinged], at most their fastest
	// answers.
	RTT float64 `json:"rtt_ms"`
	// LawShare is the share reached of the speed that tokens per pass / (remote layers x RTT) allows, 0 without remote layers.
	LawShare float64 `json:"law_share"`

	// Time is where the time of a token went.
	Time Times `json:"time_ms"`

	Peers []PeerReport `json:"peers"`
}

// PeerReport is one peer's part in a generation. Latencies are of the latest 128 answers.
type PeerReport struct {
	ID            string  `json:"id"`
	Experts       int     `json:"experts"` // how many it holds
	Calls         int64   `json:"calls"`
	P50           float64 `json:"p50_ms"`
	P95           float64 `json:"p95_ms"`
	BytesSent     int64   `json:"bytes_sent"`
	BytesReceived int64   `json:"bytes_received"`
	RTT           float64 `json:"rtt_ms"` // as in Report
	// Wait is how long a token waits in layers whose last answer is this peer's, as in [Times].
	Wait float64 `json:"wait_ms"`
	// Codec, Queue and Compute are the means of its calls in the same passes.
	Codec   float64 `json:"codec_ms"`
	Queue   float64 `json:"queue_ms"`
	Compute float64 `json:"compute_ms"`
}

// lawShare is tokens per second over tokens per pass / (remote layers x RTT).
func lawShare(r Report) float64 {
	if r.TokensPerPass == 0 {
		return 0
	}
	return r.TokensPerSecond * r.RemoteLayersPerToken * r.RTT / 1000 / r.TokensPerPass
}
