// Tables: the columns that `get` prints, computed here as an API server does, for our command line and for kubectl.

package admin

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/util/jsonpath"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/reconcile"
)

// wantsTable says whether a client would rather have a table: "application/json;as=Table;v=v1;g=meta.k8s.io".
func wantsTable(r *http.Request) bool {
	for accept := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		_, params, err := mime.ParseMediaType(accept)
		if err == nil && params["as"] == "Table" && params["v"] == "v1" {
			return true
		}
	}
	return false
}

// column is one printer column with how its cell is found.
type column struct {
	metav1.TableColumnDefinition
	cell func(tree map[string]any) any
}

// table renders objects with the columns of their kind. Each row carries the object's metadata, as kubectl asks for by default.
func (a *api) table(v *reconcile.View, t target, list []*object.Object) *metav1.Table {
	columns := columnsOf(t, a.now())
	table := &metav1.Table{
		Kind: "Table", APIVersion: "meta.k8s.io/v1",
		ResourceVersion: strconv.FormatUint(v.Generation, 10),
		Rows:            []metav1.TableRow{},
	}
	for _, c := range columns {
		table.ColumnDefinitions = append(table.ColumnDefinitions, c.TableColumnDefinition)
	}
	for _, o := range list {
		tree := render(v, t, o)
		row := metav1.TableRow{Object: runtime.RawExtension{Object: &metav1.PartialObjectMetadata{
			Kind: "PartialObjectMetadata", APIVersion: "meta.k8s.io/v1",
			Name: o.Name, Namespace: o.Namespace, Labels: o.Meta.Labels, Generation: o.Meta.Generation, CreationTimestamp: o.Meta.CreationTimestamp,
		}}}
		for _, c := range columns {
			row.Cells = append(row.Cells, c.cell(tree))
		}
		table.Rows = append(table.Rows, row)
	}
	return table
}

// columnsOf lists a kind's columns: the name, then those of its CRD, or those that Kubernetes prints for a core kind.
func columnsOf(t target, now time.Time) []column {
	list := []column{{
		metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name"},
		func(tree map[string]any) any { return asTree(tree["metadata"])["name"] },
	}}
	if core := coreColumns(t.kind.GroupKind, now); core != nil {
		return append(list, core...)
	}
	for _, c := range t.version.Columns {
		list = append(list, column{
			metav1.TableColumnDefinition{Name: c.Name, Type: c.Type, Format: c.Format, Priority: c.Priority},
			pathCell(c, now),
		})
	}
	return list
}

// pathCell evaluates a column's JSONPath. A path that leads nowhere gives an empty cell.
func pathCell(c config.Column, now time.Time) func(map[string]any) any {
	path := jsonpath.New(c.Name).AllowMissingKeys(true)
	if err := path.Parse("{" + c.JSONPath + "}"); err != nil {
		return func(map[string]any) any { return nil }
	}
	return func(tree map[string]any) any {
		results, err := path.FindResults(tree)
		if err != nil || len(results) == 0 || len(results[0]) == 0 {
			if c.Type == "date" {
				return unknown
			}
			return nil
		}
		value := results[0][0].Interface()
		switch c.Type {
		case "date":
			text, _ := value.(string) // anything else has no age
			return age(text, now)
		case "integer", "number", "boolean":
			return value
		}
		var b strings.Builder
		if err := path.PrintResults(&b, results[0][:1]); err != nil {
			return nil
		}
		return b.String()
	}
}

// unknown is the age of what has no date.
const unknown = "<unknown>"

// age is the time since a timestamp, as kubectl writes it: "5m", "3d4h".
func age(timestamp string, now time.Time) string {
	at, err := time.Parse(time.RFC3339, timestamp)
	if err != nil {
		return unknown
	}
	return duration.HumanDuration(now.Sub(at))
}

// externalIP is where a Service is to be reached from outside.
func externalIP(o map[string]any) string {
	ingress, _ := asTree(asTree(o["status"])["loadBalancer"])["ingress"].([]any) // only Services of Gateways have it
	var ips []string
	for _, i := range ingress {
		if ip, ok := asTree(i)["ip"].(string); ok {
			ips = append(ips, ip)
		}
	}
	if len(ips) > 0 {
		return strings.Join(ips, ",")
	}
	return orElse(asTree(o["spec"])["externalName"], "<none>")
}

// coreColumns are the columns of kinds whose cells no path can express; nil: use the registry's.
func coreColumns(k object.GroupKind, now time.Time) []column {
	aged := column{
		metav1.TableColumnDefinition{Name: "Age", Type: "string"},
		func(tree map[string]any) any {
			text, _ := asTree(tree["metadata"])["creationTimestamp"].(string) // may be missing
			return age(text, now)
		},
	}
	text := func(name string, cell func(map[string]any) string) column {
		return column{metav1.TableColumnDefinition{Name: name, Type: "string"}, func(tree map[string]any) any { return cell(tree) }}
	}
	switch k {
	case object.GroupKind{Kind: "Namespace"}:
		return []column{text("Status", func(map[string]any) string { return "Active" }), aged}
	case object.GroupKind{Kind: "ConfigMap"}:
		return []column{text("Data", func(o map[string]any) string {
			return strconv.Itoa(len(asTree(o["data"])) + len(asTree(o["binaryData"])))
		}), aged}
	case object.GroupKind{Kind: "Service"}:
		return []column{
			text("Type", func(o map[string]any) string { return orElse(asTree(o["spec"])["type"], "ClusterIP") }),
			text("Cluster-IP", func(o map[string]any) string { return orElse(asTree(o["spec"])["clusterIP"], "<none>") }),
			text("External-IP", externalIP),
			text("Port(s)", func(o map[string]any) string { return ports(asTree(o["spec"])["ports"], "/") }),
			aged,
		}
	case object.GroupKind{Group: "discovery.k8s.io", Kind: "EndpointSlice"}:
		return []column{
			text("AddressType", func(o map[string]any) string { return orElse(o["addressType"], "<unset>") }),
			text("Ports", func(o map[string]any) string { return ports(o["ports"], "") }),
			text("Endpoints", endpoints), aged,
		}
	}
	return nil
}

func orElse(v any, otherwise string) string {
	if s, ok := v.(string); ok && s != "" {
		return s
	}
	return otherwise
}

// ports lists port numbers, each with its protocol behind a separator unless that is empty.
func ports(v any, separator string) string {
	list, _ := v.([]any) // may be missing
	var out []string
	for _, p := range list {
		text := fmt.Sprint(asTree(p)["port"])
		if separator != "" {
			text += separator + orElse(asTree(p)["protocol"], "TCP")
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "<none>"
	}
	return strings.Join(out, ",")
}

// endpoints lists the first three addresses of a slice and counts the rest, as kubectl does.
func endpoints(o map[string]any) string {
	list, _ := o["endpoints"].([]any) // may be missing
	var all []string
	for _, e := range list {
		addresses, _ := asTree(e)["addresses"].([]any) // may be missing
		for _, address := range addresses {
			all = append(all, fmt.Sprint(address))
		}
	}
	const shown = 3
	switch {
	case len(all) == 0:
		return "<unset>"
	case len(all) > shown:
		return fmt.Sprintf("%s + %d more...", strings.Join(all[:shown], ","), len(all)-shown)
	}
	return strings.Join(all, ",")
}
