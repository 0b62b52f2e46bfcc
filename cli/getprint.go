// Printing what get found: tables with kubectl's layout, YAML, JSON, names, JSONPath.

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/object"
)

// tableType asks the administrative interface for columns and cells.
const tableType = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

// tableOf is a table with the names and namespaces of its rows.
type tableOf struct {
	ColumnDefinitions []metav1.TableColumnDefinition `json:"columnDefinitions"`
	Rows              []struct {
		Cells  []any `json:"cells"`
		Object struct {
			Metadata struct {
				Namespace string `json:"namespace"`
			} `json:"metadata"`
		} `json:"object"`
	} `json:"rows"`
}

// getTables prints a table for each kind; rows of one kind that were asked for by name share one. What there is not is an error, after
// what there is.
func getTables(ctx context.Context, p Program, o *getOptions, client *adminClient, list []wanted) error {
	kinds, tables, missing, err := fetchTables(ctx, o, client, list)
	switch {
	case err != nil:
		return err
	case len(kinds) == 0 && missing != nil:
		return missing
	case len(kinds) == 0:
		where := " in " + o.namespace + " namespace."
		if o.all || !list[0].kind.Namespaced {
			where = ""
		}
		_, err := fmt.Fprintf(p.Stderr, "No resources found%s\n", where)
		return err
	}
	for i, k := range kinds {
		if i > 0 && !o.noHeaders {
			fmt.Fprintln(p.Stdout)
		}
		prefix := ""
		if len(kinds) > 1 {
			prefix = resourceName(k.GroupKind) + "/"
		}
		if err := printTable(p.Stdout, tables[k], o, k.Namespaced, prefix); err != nil {
			return err
		}
	}
	return missing
}

// fetchTables asks for what is wanted. It returns the kinds of which there is something, in order, with their rows, and says apart what is
// missing and what went wrong.
func fetchTables(ctx context.Context, o *getOptions, client *adminClient, list []wanted) (kinds []*config.Kind, tables map[*config.Kind]*tableOf, missing, err error) {
	tables = map[*config.Kind]*tableOf{}
	for _, w := range list {
		var t tableOf
		switch err := client.get(ctx, w.path(o), tableType, &t); {
		case errors.Is(err, errNotFound):
			missing = errors.Join(missing, err)
			continue
		case err != nil:
			return nil, nil, nil, err
		}
		switch known := tables[w.kind]; {
		case known != nil:
			known.Rows = append(known.Rows, t.Rows...)
		case len(t.Rows) > 0:
			tables[w.kind] = &t
			kinds = append(kinds, w.kind)
		}
	}
	return kinds, tables, missing, nil
}

// printTable writes rows in columns. A column of lower priority is for wide output alone.
func printTable(w io.Writer, t *tableOf, o *getOptions, namespaced bool, prefix string) error {
	out := tabwriter.NewWriter(w, 6, 4, 3, ' ', 0)
	line := func(cells []string) { fmt.Fprintln(out, strings.Join(cells, "\t")) }
	var shown []int
	var header []string
	if o.all && namespaced {
		header = append(header, "NAMESPACE")
	}
	for i, c := range t.ColumnDefinitions {
		if c.Priority == 0 || o.output == "wide" {
			shown = append(shown, i)
			header = append(header, strings.ToUpper(c.Name))
		}
	}
	if !o.noHeaders {
		line(header)
	}
	for _, row := range t.Rows {
		var cells []string
		if o.all && namespaced {
			cells = append(cells, row.Object.Metadata.Namespace)
		}
		for n, i := range shown {
			cell := ""
			if i < len(row.Cells) && row.Cells[i] != nil {
				cell, _, _ = strings.Cut(fmt.Sprint(row.Cells[i]), "\n")
			}
			if n == 0 {
				cell = prefix + cell
			}
			cells = append(cells, cell)
		}
		line(cells)
	}
	return out.Flush()
}

// resourceName is how kubectl names a kind in output: "service", "httproute.gateway.networking.k8s.io".
func resourceName(k object.GroupKind) string {
	name := strings.ToLower(k.Kind)
	if k.Group != "" {
		name += "." + k.Group
	}
	return name
}

// printer writes one object, or a List of some.
type printer func(w io.Writer, tree map[string]any) error

func printerFor(output string) (printer, error) {
	format, template, _ := strings.Cut(output, "=")
	switch format {
	case "yaml":
		return printYAML, nil
	case "json":
		return printJSON, nil
	case "name":
		return printNames, nil
	case "jsonpath":
		return jsonPathPrinter(template)
	}
	return nil, fmt.Errorf("--output %q is none of wide, yaml, json, name, jsonpath=TEMPLATE", output)
}

func printYAML(w io.Writer, tree map[string]any) error {
	text, err := yaml.Marshal(tree)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func printJSON(w io.Writer, tree map[string]any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	return enc.Encode(tree)
}

func printNames(w io.Writer, tree map[string]any) error {
	items, ok := tree["items"].([]any)
	if !ok || tree["kind"] != "List" {
		items = []any{tree}
	}
	for _, item := range items {
		one, _ := item.(map[string]any) // listOf put nothing else in
		version, _ := one["apiVersion"].(string)
		kind, _ := one["kind"].(string)
		meta, _ := one["metadata"].(map[string]any) // every object has them
		group, _, ok := strings.Cut(version, "/")
		if !ok {
			group = ""
		}
		if _, err := fmt.Fprintf(w, "%s/%v\n", resourceName(object.GroupKind{Group: group, Kind: kind}), meta["name"]); err != nil {
			return err
		}
	}
	return nil
}

// jsonPathPrinter accepts what kubectl does: '{.a.b}', and '.a.b' or 'a.b' without the braces.
func jsonPathPrinter(template string) (printer, error) {
	if template == "" {
		return nil, fmt.Errorf("-o jsonpath needs a template: -o jsonpath='{.metadata.name}'")
	}
	if !strings.Contains(template, "{") {
		template = "{." + strings.TrimPrefix(template, ".") + "}"
	}
	path := jsonpath.New("output").AllowMissingKeys(true)
	if err := path.Parse(template); err != nil {
		return nil, fmt.Errorf("-o jsonpath: %w", err)
	}
	return func(w io.Writer, tree map[string]any) error {
		if err := path.Execute(w, tree); err != nil {
			return fmt.Errorf("-o jsonpath: %w", err)
		}
		return nil
	}, nil
}
