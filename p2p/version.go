package p2p

import (
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Protocol ids. The version is part of the id: an incompatible change is a new id served beside the old one.
const (
	ExpertProtocol protocol.ID = "/shoal/expert/1.0.0"
	MapProtocol    protocol.ID = "/shoal/map/1.0.0"
	dhtPrefix      protocol.ID = "/shoal" // the DHT speaks /shoal/kad/1.0.0

	expertFamily = "/shoal/expert/"
	mapFamily    = "/shoal/map/"
)

// ErrOtherVersion is wrapped when a peer speaks one of our protocols only in versions that this program does not.
var ErrOtherVersion = errors.New("another protocol version")

// ErrNoExperts is wrapped when a peer serves no experts at all.
var ErrNoExperts = errors.New("serves no experts")

// explained is an error with one text for people and the errors that a caller may branch on.
type explained struct {
	text   string
	causes []error
}

func (e *explained) Error() string   { return e.text }
func (e *explained) Unwrap() []error { return e.causes }

// checkPeer tells whether a peer that is connected speaks a protocol; nil as well if nothing is known of it. What a peer said
// on an earlier connection does not count.
func (h *Host) checkPeer(p peer.ID, family string, want protocol.ID) error {
	told, err := h.host.Peerstore().GetProtocols(p)
	if err != nil || len(told) == 0 || h.host.Network().Connectedness(p) == network.NotConnected {
		return nil
	}
	return checkVersion(p, told, family, want)
}

// checkVersion looks for want among the protocols that a peer told of. family is want without its version.
func checkVersion(p peer.ID, told []protocol.ID, family string, want protocol.ID) error {
	var others []string
	for _, id := range told {
		if id == want {
			return nil
		}
		if strings.HasPrefix(string(id), family) {
			others = append(others, string(id))
		}
	}
	if len(others) == 0 {
		return fmt.Errorf("peer %s: %w: it does not speak %s", p, ErrNoExperts, want)
	}
	return fmt.Errorf("peer %s: %w: it speaks %s, this program speaks %s; update the older of the two",
		p, ErrOtherVersion, strings.Join(others, ", "), want)
}
