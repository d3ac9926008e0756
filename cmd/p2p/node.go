package main

import "shoal/cmd/internal/lend"

// nodeCommand is the node program inside p2p, so that the demo needs no second binary.
type nodeCommand struct{ lend.Node }
