package plan

// Time is where the seconds of a token, or of a part of it, go.
type Time struct {
	Trunk   float64 // attention, gates, head: what is here whatever the placement
	Experts float64 // experts in this process
	Sync    float64 // stopping the trunk for experts elsewhere, and the work of their messages
	// Of the peer that a layer waits for:
	RoundTrip float64
	Bytes     float64 // bytes through its link, and through this machine's
	Compute   float64
	Queue     float64
	Late      float64 // beyond its usual time
}

// Total is the sum.
func (t Time) Total() float64 {
	return t.Trunk + t.Experts + t.Sync + t.RoundTrip + t.Bytes + t.Compute + t.Queue + t.Late
}

// add adds n times u.
func (t *Time) add(n float64, u Time) {
	t.Trunk += n * u.Trunk
	t.Experts += n * u.Experts
	t.Sync += n * u.Sync
	t.RoundTrip += n * u.RoundTrip
	t.Bytes += n * u.Bytes
	t.Compute += n * u.Compute
	t.Queue += n * u.Queue
	t.Late += n * u.Late
}

// Bound names the largest part of the time: "trunk", "experts here", "messages", "round trips", "bytes", "slowest peer" (its
// computing and its queue) or "stragglers". Equal parts go to the first of these.
func (t Time) Bound() string {
	name, most := "trunk", t.Trunk
	for _, p := range []struct {
		name string
		time float64
	}{
		{"experts here", t.Experts}, {"messages", t.Sync}, {"round trips", t.RoundTrip}, {"bytes", t.Bytes},
		{"slowest peer", t.Compute + t.Queue}, {"stragglers", t.Late},
	} {
		if p.time > most {
			name, most = p.name, p.time
		}
	}
	return name
}
