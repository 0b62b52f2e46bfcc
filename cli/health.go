// health: is the gateway ready? For health checks in images that hold nothing but the binary.

package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newHealth(p Program) *cobra.Command {
	var at adminFlags
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask a running gateway whether it is ready",
		Long: `Health asks the administrative interface of a running gateway for /readyz. It exits with 0 if the gateway serves, and with 1 if it does
not (yet, or any more) or does not answer within 3 seconds.`,
		Example: `  wicketgate health
  wicketgate health --admin 127.0.0.1:9080 && echo ready`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := newAdminClient(at) // readiness is told without a token
			if err != nil {
				return err
			}
			a.http.Timeout = 3 * time.Second
			said, err := a.ready(c.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(p.Stdout, said)
			return nil
		},
	}
	at.register(c.Flags())
	return c
}
