// A snapshot as text, for people and for golden tests.

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
)

// Print writes what is served: sockets, their listeners, and below each the matches in the order of precedence with what they lead to.
//
//	socket 0.0.0.0:8080
//	  listener default/public http: HTTP port 80, any host
//	    shop.example.com
//	      PathPrefix        /cart -> HTTPRoute default/shop rule 0 (shop.yaml:12:5): Service default/cart:8080
func (s *Snapshot) Print(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, at := range s.sockets {
		fmt.Fprintln(out, describeSocket(at.source))
		for _, l := range at.listeners {
			fmt.Fprintf(out, "  %s\n", describeListener(l.source))
			if l.streams != nil {
				printStreams(out, l.streams)
				continue
			}
			if l.table.Len() == 0 {
				fmt.Fprintln(out, "    no routes")
			}
			if err := l.table.Print(&indenter{w: out, indent: "    ", start: true}, describeMatch); err != nil {
				return fmt.Errorf("print snapshot: %w", err)
			}
		}
	}
	for _, at := range s.packets {
		fmt.Fprintln(out, describeSocket(at.source))
		fmt.Fprintf(out, "  %s\n", describeListener(at.listener))
		if at.rule == nil {
			fmt.Fprintln(out, "    no routes")
			continue
		}
		printShares(out, "any", at.rule, at.route.At, at.route.Unusable, false)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print snapshot: %w", err)
	}
	return nil
}

func describeSocket(s *gateway.Socket) string {
	text := "socket " + s.Bind.String()
	if s.Local.IsValid() {
		text += " for " + s.Local.String()
	}
	if s.Protocol != gatewayv1.HTTPProtocolType {
		text += " " + string(s.Protocol)
	}
	if s.ProxyProtocol {
		text += " behind the PROXY protocol"
	}
	return text
}

func describeListener(l *gateway.Listener) string {
	host := l.Hostname
	if host == "" {
		host = "any host"
	}
	o := l.Object()
	return fmt.Sprintf("listener %s/%s %s: %s port %d, %s", o.Namespace, o.Name, l.Name, l.Protocol, l.Port, host)
}

func describeMatch(m *match) string {
	r := m.rule
	o := r.source.Object
	text := fmt.Sprintf("%s rule %d (%s): ", o.Key, r.source.Index, o.At(fmt.Sprintf("spec.rules[%d]", r.source.Index)))
	switch {
	case r.unusable != "":
		return text + r.refusal(r.unusable)
	case r.filters.redirect != nil:
		return text + "redirect " + fmt.Sprint(r.filters.redirect.status)
	}
	var shares []string
	for i := range r.shares() {
		b, name := r.share(i), ""
		if b.unusable != "" {
			name = r.refusal(b.unusable)
		} else {
			name = describeTarget(b.source.Target, false)
		}
		if r.shares() > 1 {
			name = fmt.Sprintf("%s weight %d", name, b.source.Weight)
		}
		shares = append(shares, name)
	}
	return text + strings.Join(shares, ", ")
}

// describeTarget names a target and what connections to it have before anything else.
func describeTarget(t *gateway.Target, passthrough bool) string {
	name := t.Key
	if t.ProxyProtocol != 0 {
		name += fmt.Sprintf(" by the PROXY protocol v%d", t.ProxyProtocol)
	}
	if t.TLS != nil && !passthrough {
		name += " over TLS (" + t.TLS.Policy.Key.String() + ")"
	}
	return name
}

// refusal is how requests are answered that cannot be forwarded.
func (r *rule) refusal(why string) string {
	if r.grpc() {
		return grpcUnavailable.String() + " (" + why + ")"
	}
	return "500 (" + why + ")"
}

// printStreams writes where the connections of a TCP or TLS listener go, by the server name that they ask for.
func printStreams(out io.Writer, l *streams) {
	if len(l.served) == 0 {
		fmt.Fprintln(out, "    no routes")
	}
	for _, x := range l.served {
		host := x.hostname
		if host == "" {
			host = "any"
		}
		printShares(out, host, x.source, x.route.At, x.route.Unusable, l.passthrough)
	}
}

// printShares writes where a rule of a route leads that is not of requests.
func printShares(out io.Writer, host string, rule *gateway.Rule, at, unusable string, passthrough bool) {
	fmt.Fprintf(out, "    %s -> %s rule %d (%s): ", host, rule.Object.Key, rule.Index, at)
	if unusable != "" {
		fmt.Fprintf(out, "refused (%s)\n", unusable)
		return
	}
	var some []*gateway.Backend
	for _, b := range rule.Backends {
		if b.Weight > 0 {
			some = append(some, b)
		}
	}
	shares := make([]string, len(some))
	for i, b := range some {
		shares[i] = describeStreamShare(b, passthrough, len(some) > 1)
	}
	fmt.Fprintln(out, strings.Join(shares, ", "))
}

func describeStreamShare(b *gateway.Backend, passthrough, weighted bool) string {
	name := "refused (" + b.Unusable + ")"
	if b.Target != nil {
		name = describeTarget(b.Target, passthrough)
	}
	if weighted {
		name = fmt.Sprintf("%s weight %d", name, b.Weight)
	}
	return name
}

// indenter puts indent in front of every line.
type indenter struct {
	w      io.Writer
	indent string
	start  bool // of a line
}

func (i *indenter) Write(p []byte) (int, error) {
	for n, b := range p {
		if i.start {
			if _, err := io.WriteString(i.w, i.indent); err != nil {
				return n, err
			}
		}
		if _, err := i.w.Write(p[n : n+1]); err != nil {
			return n, err
		}
		i.start = b == '\n'
	}
	return len(p), nil
}
