package experts

import "errors"

// Errors that a caller branches on. They cross the wire as numbers, see proto/expert.proto.
var (
	ErrNotHeld    = errors.New("expert not held")     // ask another holder
	ErrBusy       = errors.New("peer is busy")        // ask another holder, come back later
	ErrWrongModel = errors.New("another model")       // this holder serves another artifact
	ErrTooLarge   = errors.New("batch too large")     // split it
	ErrBadRequest = errors.New("malformed request")   // a bug or a version skew: do not repeat
	ErrBadReply   = errors.New("malformed reply")     // wrong shape or values that are not finite
	ErrDeadline   = errors.New("deadline passed")     // too slow: another holder may do better
	ErrGone       = errors.New("peer is unreachable") // connection lost: ask another holder
	ErrInternal   = errors.New("peer failed inside")  // ask another holder, report it
)
