// get: objects and their statuses as the running gateway sees them, asked and printed the way kubectl does.

package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wicketgate/wicketgate/config"
)

type getOptions struct {
	admin     adminFlags
	namespace string
	all       bool
	output    string
	selector  string
	noHeaders bool
}

func newGet(p Program) *cobra.Command {
	o := &getOptions{}
	c := &cobra.Command{
		Use:   "get KIND[,KIND...] [NAME...] | KIND/NAME...",
		Short: "Show objects and their statuses as the running gateway sees them",
		Long: `Get asks the administrative interface of a running gateway and prints what kubectl would. Kinds have kubectl's names: plural,
singular and short ones, such as gateways, gateway and gtw, also with a group, or a version and a group, behind a dot. Secrets are shown without what they hold.`,
		Example: `  wicketgate get gateways
  wicketgate get gateways,httproutes -A
  wicketgate get httproute shop -n shop -o yaml
  wicketgate get gateway/public -o jsonpath='{.status.addresses[0].value}'`,
		Args:              atLeastOne("the kinds to get, such as gateways,httproutes"),
		RunE:              func(c *cobra.Command, args []string) error { return get(c.Context(), p, o, args) },
		ValidArgsFunction: completeKinds,
	}
	f := c.Flags()
	o.admin.register(f)
	f.StringVar(&o.admin.tokenFile, "admin-token-file", "", "file with the interface's token, where it asks for one")
	f.StringVarP(&o.namespace, "namespace", "n", "default", "namespace")
	f.BoolVarP(&o.all, "all-namespaces", "A", false, "all namespaces")
	f.StringVarP(&o.output, "output", "o", "", "wide, yaml, json, name or jsonpath=TEMPLATE (default a table)")
	f.StringVarP(&o.selector, "selector", "l", "", "only objects with these labels, such as app=shop")
	f.BoolVar(&o.noHeaders, "no-headers", false, "leave out the line of column names")
	return c
}

// completeKinds offers the kinds' names to the shell.
func completeKinds(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, k := range config.Kinds() {
		names = append(names, k.Plural)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// wanted is what one request asks for: a kind, and a name or all of them.
type wanted struct {
	kind    *config.Kind
	version string
	name    string
}

// parseWanted reads kubectl's ways of saying what to get.
func parseWanted(args []string) (list []wanted, err error) {
	if strings.Contains(args[0], "/") {
		for _, arg := range args {
			kind, name, ok := strings.Cut(arg, "/")
			if !ok || name == "" || strings.Contains(name, "/") {
				return nil, fmt.Errorf("%q is not of the form KIND/NAME, as the first argument is", arg)
			}
			w, err := kindNamed(kind)
			if err != nil {
				return nil, err
			}
			w.name = name
			list = append(list, w)
		}
		return list, nil
	}
	for word := range strings.SplitSeq(args[0], ",") {
		w, err := kindNamed(word)
		if err != nil {
			return nil, err
		}
		for _, w.name = range args[1:] {
			list = append(list, w)
		}
		if len(args) == 1 {
			list = append(list, w)
		}
	}
	return list, nil
}

// kindNamed reads the name of a kind, alone ("httproutes"), with its group ("httproutes.gateway.networking.k8s.io"), or with a version
// and the group ("httproutes.v1.gateway.networking.k8s.io"; core kinds have no group: "services.v1.").
func kindNamed(word string) (wanted, error) {
	if k := config.KindNamed(word); k != nil {
		return wanted{kind: k, version: k.Versions[0].Name}, nil
	}
	name, rest, _ := strings.Cut(word, ".")
	version, group, _ := strings.Cut(rest, ".")
	if k := config.KindNamed(name + "." + group); k != nil {
		var served []string
		for _, v := range k.Versions {
			if strings.EqualFold(v.Name, version) {
				return wanted{kind: k, version: v.Name}, nil
			}
			served = append(served, v.Name)
		}
		return wanted{}, fmt.Errorf("there is no version %q of %s; there is %s", version, k.Plural, strings.Join(served, ", "))
	}
	var known []string
	for _, k := range config.Kinds() {
		known = append(known, k.Plural)
	}
	return wanted{}, fmt.Errorf("there is no kind %q; the kinds are %s", word, strings.Join(known, ", "))
}

// path is where the administrative interface has it.
func (w wanted) path(o *getOptions) string {
	prefix := "/apis/" + w.kind.Group + "/"
	if w.kind.Group == "" {
		prefix = "/api/"
	}
	p := prefix + w.version
	if w.kind.Namespaced && !o.all {
		p += "/namespaces/" + url.PathEscape(o.namespace)
	}
	p += "/" + w.kind.Plural
	if w.name != "" {
		p += "/" + url.PathEscape(w.name)
	}
	if o.selector != "" {
		p += "?labelSelector=" + url.QueryEscape(o.selector)
	}
	return p
}

// get prints what args ask for.
func get(ctx context.Context, p Program, o *getOptions, args []string) error {
	list, err := parseWanted(args)
	if err != nil {
		return err
	}
	named := list[0].name != ""
	switch {
	case named && o.all:
		return errors.New("a name can only be asked for in one namespace: leave out -A, or the name")
	case named && o.selector != "":
		return errors.New("names and --selector exclude each other")
	}
	client, err := newAdminClient(o.admin)
	if err != nil {
		return err
	}
	if o.output == "" || o.output == "wide" {
		return getTables(ctx, p, o, client, list)
	}
	write, err := printerFor(o.output)
	if err != nil {
		return err
	}
	items, missing := fetchObjects(ctx, o, client, list)
	switch {
	case missing != nil && len(items) == 0:
	case named && len(list) == 1:
		err = write(p.Stdout, items[0])
	default:
		err = write(p.Stdout, listOf(items))
	}
	return errors.Join(err, missing)
}

// fetchObjects asks for everything that is wanted. Beside the error for what there is not, it returns what there is.
func fetchObjects(ctx context.Context, o *getOptions, client *adminClient, list []wanted) (items []map[string]any, missing error) {
	for _, w := range list {
		var tree map[string]any
		switch err := client.get(ctx, w.path(o), "application/json", &tree); {
		case errors.Is(err, errNotFound):
			missing = errors.Join(missing, err)
			continue
		case err != nil:
			return nil, err
		}
		if w.name != "" {
			items = append(items, tree)
			continue
		}
		found, _ := tree["items"].([]any) // null is none
		for _, item := range found {
			if object, ok := item.(map[string]any); ok {
				items = append(items, object)
			}
		}
	}
	return items, missing
}

// listOf wraps objects as kubectl does, whatever their kinds.
func listOf(items []map[string]any) map[string]any {
	all := make([]any, 0, len(items))
	for _, item := range items {
		all = append(all, item)
	}
	return map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{"resourceVersion": ""}, "items": all}
}
