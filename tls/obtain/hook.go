// DNS-01 through a command: for name servers that nothing here knows how to talk to. Only a flag can name the command, so that whoever may write
// YAML cannot run programs.

package obtain

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// Hook runs a command for DNS-01 challenges:
//
//	COMMAND present _acme-challenge.shop.example.com VALUE    the TXT record is visible to everybody when this ends
//	COMMAND cleanup _acme-challenge.shop.example.com VALUE    the record with this value is not needed any more
//
// There may be several values under one name at a time.
type Hook struct{ Command string }

// hookTimeout bounds one run of the command.
const hookTimeout = 5 * time.Minute

// hookWords is how much of what a failing command prints is told.
const hookWords = 500

func (h Hook) present(ctx context.Context, ch acme.Challenge) error { return h.run(ctx, "present", ch) }
func (Hook) wait(context.Context, acme.Challenge) error             { return nil }
func (h Hook) cleanUp(ctx context.Context, ch acme.Challenge) error { return h.run(ctx, "cleanup", ch) }

func (h Hook) run(ctx context.Context, what string, ch acme.Challenge) error {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	name := strings.TrimSuffix(ch.DNS01TXTRecordName(), ".")
	out, err := exec.CommandContext(ctx, h.Command, what, name, ch.DNS01KeyAuthorization()).CombinedOutput() //nolint:gosec // a flag names it
	if ctx.Err() != nil {
		err = errors.Join(err, context.Cause(ctx))
	}
	if err == nil {
		return nil
	}
	if len(out) > hookWords {
		out = out[:hookWords]
	}
	return fmt.Errorf("%s %s: %w: %s", h.Command, what, err, strings.TrimSpace(strings.ToValidUTF8(string(out), "")))
}
