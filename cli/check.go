// check: the serving code path without sockets.

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/backend"
)

type checkOptions struct {
	semantics
	roots       []string
	output      string
	printRoutes bool
}

func newCheck(p Program) *cobra.Command {
	o, anyDirs := &checkOptions{}, atLeastOne("the directories or files to check")
	c := &cobra.Command{
		Use:   "check DIR...",
		Short: "Say what is wrong with files, as run would see them",
		Long: `Check reads, admits, understands and compiles files exactly as run does, and opens no socket. It prints one line a problem:

  shop.yaml:19:7: HTTPRoute default/shop: spec.rules[0].backends: unknown field (did you mean "backendRefs"?)

and exits with 1 if there is an error. Warnings and ignored kinds alone are no error.

With - in place of a directory it reads standard input, and instead of a file a pipe will do.`,
		Example: `  wicketgate check ./gateway
  helm template ./chart | wicketgate check -
  wicketgate check ./infra ./shop:shop -o json
  wicketgate check ./gateway --print-routes`,
		Args: func(c *cobra.Command, args []string) error { return anyDirs(c, slices.Concat(o.roots, args)) },
		RunE: func(c *cobra.Command, args []string) error {
			return check(c.Context(), p, o, slices.Concat(o.roots, args))
		},
	}
	c.Flags().StringArrayVar(&o.roots, "config", nil, "the same as a directory without the flag, for the command line of run")
	c.Flags().StringVarP(&o.output, "output", "o", "text", "text or json")
	c.Flags().BoolVar(&o.printRoutes, "print-routes", false, "print what would be served: sockets, listeners, and matches in the order of precedence")
	o.register(c.Flags())
	return c
}

func check(ctx context.Context, p Program, o *checkOptions, dirs []string) error {
	if o.output != "text" && o.output != "json" {
		return fmt.Errorf("--output %q is neither text nor json", o.output)
	}
	if o.output == "json" && o.printRoutes {
		return errors.New("--print-routes prints text: leave out -o json")
	}
	opts, err := o.gatewayOptions()
	if err != nil {
		return err
	}
	certificates, err := checkedCertificates(o)
	if err != nil {
		return err
	}
	var roots []config.Root
	for _, d := range dirs {
		root, err := checkedRoot(d, p.Stdin)
		if err != nil {
			return err
		}
		roots = append(roots, root)
	}
	result, err := certificates.load(func(ctx context.Context, _ bool) (*config.Result, error) {
		return config.New(config.Options{Roots: roots}).Load(ctx)
	})(ctx, true)
	if err != nil {
		return err
	}
	graph := certificates.build(nil, result.Objects, opts)
	px := proxy.New(proxy.Options{Registry: backend.NewRegistry(backend.Options{Dial: noDial})})
	defer px.Close()
	snapshot := px.Compile(graph, px.Current())
	defer snapshot.Discard()
	problems := slices.Concat(result.Problems, graph.Problems, snapshot.Problems(), certificates.plan.Review(graph),
		gateway.CertificateProblems(graph, time.Now()))
	slices.SortStableFunc(problems, byPosition)
	if o.output == "json" {
		err = printFindings(p, problems)
	} else {
		err = printProblems(p, result, problems)
	}
	if err == nil && o.printRoutes {
		err = snapshot.Print(p.Stdout)
	}
	if err == nil && count(problems, object.Error) > 0 {
		err = exitError(1)
	}
	return err
}

// checkedRoot is what an argument names: a directory, a file, or what can be read once only, which it reads.
func checkedRoot(arg string, stdin io.Reader) (config.Root, error) {
	root := config.ParseRoot(arg)
	if root.Path == "-" {
		if root.Path = "stdin"; stdin == nil {
			stdin = strings.NewReader("")
		}
		return readOnce(root, stdin)
	}
	if info, err := os.Stat(root.Path); err != nil || info.IsDir() || info.Mode().IsRegular() {
		return root, nil // what is wrong with it, the loader says
	}
	f, err := os.Open(root.Path)
	if err != nil {
		return root, err
	}
	defer f.Close()
	return readOnce(root, f)
}

func readOnce(root config.Root, from io.Reader) (config.Root, error) {
	text, err := config.ReadText(from)
	if err != nil {
		return root, fmt.Errorf("%s: %w", root.Path, err)
	}
	root.Text = text
	return root, nil
}

// byPosition orders problems as a reader goes through the files, whoever found them.
func byPosition(a, b object.Problem) int {
	return cmp.Or(
		strings.Compare(a.Position.File, b.Position.File), cmp.Compare(a.Position.Line, b.Position.Line), cmp.Compare(a.Position.Column, b.Position.Column))
}

// noDial is for parts that are compiled and never used.
func noDial(context.Context, netip.AddrPort, bool) (net.Conn, error) {
	return nil, errors.New("nothing is dialled while files are checked")
}

func count(list []object.Problem, s object.Severity) (n int) {
	for _, p := range list {
		if p.Severity == s {
			n++
		}
	}
	return n
}

// printProblems prints one line a problem, and a summary apart from them.
func printProblems(p Program, r *config.Result, list []object.Problem) error {
	for _, problem := range list {
		if _, err := fmt.Fprintln(p.Stdout, problem); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(p.Stderr, "%s, %s: %s, %s\n", plural(r.Files, "file"), plural(r.Objects.Len(), "object"),
		plural(count(list, object.Error), "error"), plural(count(list, object.Warning), "warning"))
	return err
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// finding is a problem in JSON output.
type finding struct {
	Severity  string `json:"severity"`
	File      string `json:"file"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Field     string `json:"field,omitempty"`
	Message   string `json:"message"`
}

func printFindings(p Program, list []object.Problem) error {
	findings := make([]finding, 0, len(list))
	for _, f := range list {
		findings = append(findings, finding{
			Severity: f.Severity.String(), File: f.Position.File, Line: f.Position.Line, Column: f.Position.Column,
			Group: f.Object.Group, Kind: f.Object.Kind, Namespace: f.Object.Namespace, Name: f.Object.Name,
			Field: f.Field, Message: f.Message,
		})
	}
	enc := json.NewEncoder(p.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(findings)
}
