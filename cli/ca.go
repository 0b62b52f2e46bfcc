// ca: the gateway's own certificate authority.

package cli

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/wicketgate/wicketgate/tls/obtain"
)

func newCA(p Program) *cobra.Command {
	c := &cobra.Command{
		Use:   "ca",
		Short: "The certificate authority behind --local-ca",
		Args:  noSuchCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var dir string
	export := &cobra.Command{
		Use:   "export",
		Short: "Print the authority's certificate, for clients to trust",
		Long: `Export prints, in PEM, the certificate of the authority that "run --local-ca" signs with. It is in the state directory, and is made if it is
not there yet: the user who runs the gateway has to run this, too.`,
		Example: `  wicketgate ca export > local-ca.pem
  curl --cacert local-ca.pem https://shop.localhost:8443/`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			storage := certificateStorage(stateDir(dir, slog.New(slog.DiscardHandler)))
			if storage == nil {
				return errors.New("there is no state directory to keep the authority in: name one with --state-dir")
			}
			root, err := obtain.LocalRoot(c.Context(), storage)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(p.Stdout, root)
			return err
		},
	}
	export.Flags().StringVar(&dir, "state-dir", "", "the state directory of the gateway (default as for run)")
	c.AddCommand(export)
	return c
}
