package p2p

import (
	"errors"
	"fmt"
	"strings"

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
