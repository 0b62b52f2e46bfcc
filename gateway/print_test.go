// The graph and statuses as short text, for golden files.

package gateway

import (
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// printRoutes prints what would be served: socket, listener, route, rule.
func printRoutes(g *Graph) string {
	var b strings.Builder
	for _, s := range g.Sockets {
		fmt.Fprintf(&b, "%s", s.Bind)
		if s.ProxyProtocol {
			b.WriteString(" proxied")
		}
		if s.Local.IsValid() {
			fmt.Fprintf(&b, " local %s", s.Local)
		}
		if s.Protocol != gatewayv1.HTTPProtocolType {
			b.WriteString(" " + strings.ToLower(string(s.Protocol)))
		}
		b.WriteString("\n")
		for _, l := range s.Listeners {
			fmt.Fprintf(&b, "  %s %s %q", l.Gateway.Object.Name, l.Name, l.Hostname)
			if l.Set != nil {
				fmt.Fprintf(&b, " of %s", l.Set.Object.Key)
			}
			if l.Passthrough {
				b.WriteString(" passthrough")
			}
			for _, c := range l.Certificates {
				fmt.Fprintf(&b, " cert %s", c.Secret.Name)
			}
			if v := l.Clients; v != nil {
				fmt.Fprintf(&b, " clients of %d authorities", len(v.trusted))
				if v.InsecureFallback {
					b.WriteString(" or anybody")
				}
			}
			b.WriteString("\n")
			for _, a := range g.Attached[l].Routes {
				printAttachment(&b, a)
			}
		}
	}
	return b.String()
}

func printAttachment(b *strings.Builder, a *Attachment) {
	fmt.Fprintf(b, "    %s", strings.TrimPrefix(a.Route.Object.Key.String(), "HTTPRoute ")) // the usual kind goes without saying
	for _, h := range a.Hostnames {
		fmt.Fprintf(b, " %q", h.Effective)
		if h.Declared != h.Effective {
			fmt.Fprintf(b, " (declared %q)", h.Declared)
		}
	}
	if a.Behind != nil {
		fmt.Fprintf(b, " behind %s\n", a.Behind.Object.Name)
		return
	}
	b.WriteString("\n")
	for _, rule := range a.Route.Rules {
		var matches []string
		for i := range rule.Matches {
			matches = append(matches, printMatch(&rule.Matches[i]))
		}
		for i := range rule.GRPCMatches {
			matches = append(matches, printGRPCMatch(&rule.GRPCMatches[i]))
		}
		fmt.Fprintf(b, "      %d:", rule.Index)
		if len(matches) > 0 {
			fmt.Fprintf(b, " %s", strings.Join(matches, " | "))
		}
		for _, f := range rule.Filters {
			fmt.Fprintf(b, " %s", f.Type)
		}
		if rule.Timeouts != (Timeouts{}) {
			fmt.Fprintf(b, " timeouts %v/%v", rule.Timeouts.Request, rule.Timeouts.BackendRequest)
		}
		if rule.Session != nil {
			fmt.Fprintf(b, " session %+v", *rule.Session)
		}
		if rule.Unusable != "" {
			b.WriteString(" -> 500\n")
			continue
		}
		if a := rule.Auth; a != nil {
			fmt.Fprintf(b, " auth %s", printAuth(a))
		}
		for _, backend := range rule.Backends {
			fmt.Fprintf(b, "\n        %d %s", backend.Weight, printBackend(backend))
			printMirrors(b, "          ", backend.Mirrors)
		}
		printMirrors(b, "        ", rule.Mirrors)
		b.WriteString("\n")
	}
}

func printAuth(a *ExternalAuth) string {
	if a.Unusable != "" {
		return "by nobody: 500"
	}
	return "by " + strings.TrimPrefix(a.Target.Key, "Service ")
}

func printMirrors(b *strings.Builder, indent string, list []*Mirror) {
	for _, m := range list {
		to := "nobody"
		if m.Unusable == "" {
			to = strings.TrimPrefix(m.Target.Key, "Service ")
		}
		fmt.Fprintf(b, "\n%s%d/%d mirrored to %s", indent, m.Numerator, m.Denominator, to)
	}
}

func printMatch(m *gatewayv1.HTTPRouteMatch) string {
	parts := []string{string(*m.Path.Type), *m.Path.Value}
	if m.Method != nil {
		parts = append(parts, string(*m.Method))
	}
	for _, h := range m.Headers {
		parts = append(parts, fmt.Sprintf("%s: %s", h.Name, h.Value))
	}
	for _, q := range m.QueryParams {
		parts = append(parts, fmt.Sprintf("?%s=%s", q.Name, q.Value))
	}
	return strings.Join(parts, " ")
}

func printGRPCMatch(m *gatewayv1.GRPCRouteMatch) string {
	parts := []string{"every method"}
	if m.Method != nil {
		parts = []string{string(deref(m.Method.Type, "Exact")), deref(m.Method.Service, "*") + "/" + deref(m.Method.Method, "*")}
	}
	for _, h := range m.Headers {
		parts = append(parts, fmt.Sprintf("%s: %s", h.Name, h.Value))
	}
	return strings.Join(parts, " ")
}

func printBackend(backend *Backend) string {
	if backend.Unusable != "" {
		return "500"
	}
	t := backend.Target
	text := strings.TrimPrefix(t.Key, "Service ")
	for _, h := range t.Hosts {
		text += fmt.Sprintf(" = %s port %d", strings.Join(h.Names, ", "), h.Port)
	}
	for _, path := range t.Sockets {
		text += " = " + path
	}
	if len(t.Hosts)+len(t.Sockets) == 0 || len(t.Endpoints) > 0 {
		text += fmt.Sprintf(" = %v", t.Endpoints)
	}
	if t.ProxyProtocol != 0 {
		text += fmt.Sprintf(" proxy v%d", t.ProxyProtocol)
	}
	if t.TLS != nil {
		text += fmt.Sprintf(" tls %s by %s", t.TLS.Hostname, t.TLS.Policy.Name)
	}
	if t.Session != nil {
		text += fmt.Sprintf(" session %+v", *t.Session)
	}
	if t.Budget != nil {
		text += fmt.Sprintf(" budget %+v", *t.Budget)
	}
	if backend.Auth != nil {
		text += " auth " + printAuth(backend.Auth)
	}
	for _, f := range backend.Filters {
		text += " " + string(f.Type)
	}
	return text
}

// standardMessages are left out of printed conditions: they say no more than the condition itself.
var standardMessages = []string{
	"The Gateway is accepted", "The Gateway is ready", "The listener is accepted", "No conflicts", "All references are resolved",
	"The ListenerSet is accepted", "The ListenerSet is ready", "The GatewayClass is accepted", "The route is accepted", "The route has no backends to resolve", "The policy is accepted",
	"The experimental channel of Gateway API " + apiVersion + " is built in",
}

// printStatuses prints every status, one condition a line; what is as it should be is left out where it says nothing more.
func printStatuses(s *StatusSet) string {
	var b strings.Builder
	for _, k := range keysOf(s) {
		tree := s.Get(k)
		fmt.Fprintf(&b, "%s", k)
		addresses, _ := tree["addresses"].([]any)
		for _, a := range addresses {
			entry := a.(map[string]any)
			fmt.Fprintf(&b, " %v", entry["value"])
			if r := entry["routability"]; r != "" {
				fmt.Fprintf(&b, " (%v)", r)
			}
		}
		if n, _ := tree["attachedListenerSets"].(int64); n > 0 {
			fmt.Fprintf(&b, " listenersets %d", n)
		}
		b.WriteString("\n")
		printConditions(&b, "  ", tree["conditions"])
		listeners, _ := tree["listeners"].([]any)
		for _, entry := range listeners {
			l := entry.(map[string]any)
			var kinds []string
			for _, kind := range l["supportedKinds"].([]any) {
				kinds = append(kinds, kind.(map[string]any)["kind"].(string))
			}
			fmt.Fprintf(&b, "  listener %v: %v attached, kinds %v\n", l["name"], l["attachedRoutes"], kinds)
			printConditions(&b, "    ", l["conditions"])
		}
		ancestors, _ := tree["ancestors"].([]any)
		for _, entry := range ancestors {
			a := entry.(map[string]any)
			fmt.Fprintf(&b, "  ancestor%s by %v\n", printRef(a["ancestorRef"].(map[string]any)), a["controllerName"])
			printConditions(&b, "    ", a["conditions"])
		}
		parents, _ := tree["parents"].([]any)
		for _, entry := range parents {
			p := entry.(map[string]any)
			fmt.Fprintf(&b, "  parent%s by %v\n", printRef(p["parentRef"].(map[string]any)), p["controllerName"])
			printConditions(&b, "    ", p["conditions"])
		}
	}
	return b.String()
}

func printRef(ref map[string]any) string {
	text := ""
	for _, field := range []string{"kind", "namespace", "name", "sectionName", "port"} {
		if v, ok := ref[field]; ok {
			text += fmt.Sprintf(" %v", v)
		}
	}
	return text
}

func printConditions(b *strings.Builder, indent string, list any) {
	conditions, _ := list.([]any)
	for _, entry := range conditions {
		c := entry.(map[string]any)
		message, _ := c["message"].(string)
		if c["type"] == typeConflicted && c["status"] == "False" || c["type"] == typeSupportedVersion ||
			c["type"] == typeAddressesAssigned && c["status"] == "True" {
			continue
		}
		fmt.Fprintf(b, "%s%v %v %v", indent, c["type"], c["status"], c["reason"])
		if !slices.Contains(standardMessages, message) {
			fmt.Fprintf(b, ": %s", message)
		}
		b.WriteString("\n")
	}
}

func printProblems(list []object.Problem) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "%s\n", p)
	}
	return b.String()
}
