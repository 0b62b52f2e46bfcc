// Certificates that the gateway obtains: how what is wanted and what is held come into the reload loop.

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/config/secretdir"
	"github.com/wicketgate/wicketgate/dial"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/demand"
	"github.com/wicketgate/wicketgate/tls/issue"
	"github.com/wicketgate/wicketgate/tls/obtain"
)

// The directories of Let's Encrypt.
const (
	letsEncrypt        = "https://acme-v02.api.letsencrypt.org/directory"
	letsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

// acmeFlags are the flags that ask for certificates without any object: run and check have them both.
type acmeFlags struct {
	email, directory, caFile, dnsHook string
	staging, localCA                  bool
	ask                               string
	askLimit                          int
}

func (a *acmeFlags) register(f *pflag.FlagSet) {
	f.StringVar(&a.email, "acme-email", "", "obtain certificates for all HTTPS hostnames that have none, under this email address")
	f.StringVar(&a.directory, "acme-directory", letsEncrypt, "directory of the ACME server that --acme-email asks")
	f.StringVar(&a.caFile, "acme-ca-file", "", "certificate authorities, in PEM, to trust when asking that server (default the system's)")
	f.BoolVar(&a.staging, "acme-staging", false, "ask the staging server of Let's Encrypt, whose certificates no client trusts")
	f.StringVar(&a.dnsHook, "acme-dns-hook", "", "program that sets and removes TXT records, for --acme-email to prove names, wildcards too, by DNS-01")
	f.BoolVar(&a.localCA, "local-ca", false, "sign certificates for all HTTPS hostnames that have none with an authority of the gateway's own")
	f.StringVar(&a.ask, "on-demand-ask", "", "URL to ask, with ?domain=NAME, whether to obtain a certificate for a name that clients ask for and only routes without hostnames, or wildcards, serve")
	f.IntVar(&a.askLimit, "on-demand-limit", demand.DefaultHourly, "for how many names certificates may be obtained on demand in an hour")
}

// refined says whether any flag is given that says how --acme-email asks.
func (a *acmeFlags) refined() bool {
	return a.staging || a.caFile != "" || a.dnsHook != "" || a.directory != letsEncrypt
}

// options says what the flags mean.
func (a *acmeFlags) options() (o issue.Options, err error) {
	switch {
	case a.email != "" && a.localCA:
		return o, fmt.Errorf("--acme-email and --local-ca exclude each other: certificates come from the one or the other")
	case a.localCA:
		return issue.Options{LocalCA: true}, nil
	case a.email == "" && a.refined():
		return o, fmt.Errorf("--acme-directory, --acme-ca-file, --acme-dns-hook and --acme-staging say how --acme-email asks: give that, too")
	case a.email == "":
		return o, nil
	case !strings.Contains(a.email, "@"):
		return o, fmt.Errorf("--acme-email %q is not an email address", a.email)
	case a.staging && a.directory != letsEncrypt:
		return o, fmt.Errorf("--acme-staging and --acme-directory exclude each other: both name the server")
	}
	spec := &certmanager.ACMEIssuer{Server: a.directory, Email: a.email}
	if a.staging {
		spec.Server = letsEncryptStaging
	}
	if a.caFile != "" {
		if spec.CABundle, err = os.ReadFile(a.caFile); err != nil {
			return o, fmt.Errorf("--acme-ca-file: %w", err)
		}
	}
	o.ACME = spec
	return o, nil
}

// onDemand checks the flags that let certificates be obtained on demand, and gives the URL to ask; nil: none are.
func (a *acmeFlags) onDemand() (*url.URL, error) {
	switch {
	case a.ask == "" && a.askLimit != demand.DefaultHourly:
		return nil, errors.New("--on-demand-limit says how often --on-demand-ask lets certificates be obtained: give that, too")
	case a.ask == "":
		return nil, nil
	case a.email == "" && !a.localCA:
		return nil, errors.New("--on-demand-ask says for which names certificates are obtained: give --acme-email or --local-ca, too, which say from whom")
	case a.askLimit < 1 || a.askLimit > maxAskLimit:
		return nil, fmt.Errorf("--on-demand-limit %d is not a number from 1 to %d", a.askLimit, maxAskLimit)
	}
	at, err := url.Parse(a.ask)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.Fragment != "" {
		return nil, fmt.Errorf("--on-demand-ask %q is not a URL such as http://127.0.0.1:5555/allowed", a.ask)
	}
	return at, nil
}

// maxAskLimit bounds --on-demand-limit: no authority issues more.
const maxAskLimit = 10_000

// gate makes what decides about names on demand; nil: none of them gets a certificate.
func (a *acmeFlags) gate(ask *url.URL, o demand.Options) *demand.Gate {
	if ask == nil {
		return nil
	}
	o.URL, o.Hourly = ask, a.askLimit
	return demand.New(o)
}

// certificates joins the engine to the loop's stages. Its fields other than engine belong to the loop's goroutine.
type certificates struct {
	engine  *obtain.Engine
	options issue.Options
	secrets *secretdir.Reader
	plan    *issue.Plan                  // of the run that is going on
	managed *gateway.ManagedCertificates // found by hostname; nil if no flag asks for them
}

// certificateStorage is the place of certificates in the state directory.
func certificateStorage(stateDir string) obtain.Storage {
	if stateDir == "" {
		return nil
	}
	return obtain.NewFileStorage(filepath.Join(stateDir, "certificates"))
}

// newCertificates makes the engine. Changed is told as obtain.Options says.
func newCertificates(s settings, flags *acmeFlags, dialer *dial.Dialer, version string, changed func(bool), log *slog.Logger, metrics prometheus.Registerer) (*certificates, error) {
	agent, resolver := "wicketgate/"+version, asking(s.dnsServers)
	engine, err := obtain.New(obtain.Options{
		Storage: certificateStorage(s.stateDir), Dial: dialer.Dial, Changed: changed, Log: log, Metrics: metrics, UserAgent: agent, Hook: obtain.Hook{Command: flags.dnsHook},
		Resolver: resolver, Wildcards: flags.dnsHook != "" || s.issue.LocalCA,
		// A flag names whom to ask, so that may be on this machine.
		Demand: flags.gate(s.ask, demand.Options{Dial: obtain.DialNames(dialer.Dial, resolver, true), Log: log, Metrics: metrics, UserAgent: agent}),
	})
	return &certificates{engine: engine, options: s.issue, secrets: secretdir.New(s.secrets, s.secretRoots)}, err
}

// asking is a resolver that asks these servers, in turns; without any it is the system's.
func asking(servers []netip.AddrPort) *net.Resolver {
	if len(servers) == 0 {
		return net.DefaultResolver
	}
	var turn atomic.Uint64
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		server := servers[int((turn.Add(1)-1)%uint64(len(servers)))] //nolint:gosec // smaller than the length
		return (&net.Dialer{}).DialContext(ctx, network, server.String())
	}}
}

// load reads files with next, adds the Secrets that are directories, and what all of them ask for: the Secrets that are held, or placeholders.
func (c *certificates) load(next func(context.Context, bool) (*config.Result, error)) func(context.Context, bool) (*config.Result, error) {
	return func(ctx context.Context, whole bool) (*config.Result, error) {
		result, err := next(ctx, whole)
		if err != nil {
			return nil, err
		}
		given, problems := c.secrets.Load(result.Objects)
		set := result.Objects.With(given, nil)
		c.plan = issue.Read(set, c.options)
		out := *result
		out.Objects = set.With(c.engine.Load(ctx, c.plan), nil)
		out.Problems = slices.Concat(result.Problems, problems, c.plan.Problems)
		if c.options.ACME != nil || c.options.LocalCA {
			c.managed = c.engine.Managed(ctx)
		}
		return &out, nil
	}
}

// build makes the graph of what load returned.
func (c *certificates) build(inForce *gateway.Graph, set *object.Set, o gateway.Options) *gateway.Graph {
	o.Managed = c.managed
	return gateway.Rebuild(inForce, set, o)
}

// compile adds to what a graph's compilation found, and makes the engine see what it wants once it is served.
func (c *certificates) compile(graph *gateway.Graph, swap func(), found []object.Problem) (func(), []object.Problem) {
	plan := c.plan
	return func() {
		swap()
		c.engine.Want(plan, graph)
	}, slices.Concat(found, plan.Review(graph))
}

// checkedCertificates is for files that are checked: nothing is held, and nothing is obtained.
func checkedCertificates(o *checkOptions) (*certificates, error) {
	options, err := o.acme.options()
	if err != nil {
		return nil, err
	}
	secrets, err := each("--secret", o.secrets, secretdir.Parse)
	if err != nil {
		return nil, err
	}
	roots, err := each("--secret-root", o.secretRoots, filepath.Abs)
	if err != nil {
		return nil, err
	}
	ask, err := o.acme.onDemand()
	if err != nil {
		return nil, err
	}
	engine, err := obtain.New(obtain.Options{Wildcards: o.acme.dnsHook != "" || o.acme.localCA, Demand: o.acme.gate(ask, demand.Options{})})
	return &certificates{engine: engine, options: options, secrets: secretdir.New(secrets, roots)}, err
}
