// What a handler can do wrong, on every wire.

package wire

import "errors"

// Errors of exchanges. The wires return them wrapped or as they are.
var (
	ErrAnswered  = errors.New("exchange was answered already")
	ErrNoUpgrade = errors.New("request asked for no upgrade")
	ErrUnwanted  = errors.New("request body is not wanted any more")
	ErrStatus    = errors.New("not the status of such a response")
	ErrTooShort  = errors.New("response body is shorter than its Content-Length")
	ErrTooLong   = errors.New("response body is longer than its Content-Length")
)
