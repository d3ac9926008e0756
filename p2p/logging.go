package p2p

import (
	"log/slog"
	"os"

	"github.com/libp2p/go-libp2p/gologshim"
)

// libp2p logs to standard error on its own, failed dials and all. What matters of it comes back as errors, so it is silent
// unless its own variable asks for more, such as GOLOG_LOG_LEVEL=debug.
func init() {
	if os.Getenv("GOLOG_LOG_LEVEL") == "" {
		gologshim.SetDefaultHandler(slog.DiscardHandler)
	}
}
