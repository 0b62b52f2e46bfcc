// Metrics of what is in force: the conditions of objects, and when certificates expire.

package cli

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/reconcile"
	"github.com/wicketgate/wicketgate/tls/obtain"
)

// maxUnmet bounds the series of conditions that are not as one wants them: a directory full of broken routes does not flood Prometheus. The counts
// of wicketgate_object_conditions are complete all the same.
const maxUnmet = 1000

// objectMetrics is a prometheus.Collector over the view that is in force. What it shows is computed once a view.
type objectMetrics struct {
	view                     func() *reconcile.View
	held                     func() []obtain.Expiry // certificates that were obtained, served by a listener or not
	counts, unmet, expiry    *prometheus.Desc
	mu                       sync.Mutex
	of                       *reconcile.View
	conditions, certificates []prometheus.Metric
	listed                   map[object.Key]bool // the Secrets in certificates
}

func newObjectMetrics(view func() *reconcile.View, held func() []obtain.Expiry) *objectMetrics {
	return &objectMetrics{
		view: view, held: held,
		counts: prometheus.NewDesc("wicketgate_object_conditions", "Conditions in the statuses of the objects in force, by type and status.",
			[]string{"kind", "type", "status"}, nil),
		unmet: prometheus.NewDesc("wicketgate_object_condition_unmet",
			"1 for each condition that is not as one wants it (at most 1000 of them). section is the listener or the parent that it is about.",
			[]string{"kind", "namespace", "name", "section", "type", "reason"}, nil),
		expiry: prometheus.NewDesc("wicketgate_certificate_not_after_timestamp_seconds",
			"When the certificates expire that listeners serve, and those that are obtained.", []string{"namespace", "secret"}, nil),
	}
}

// Describe tells the registry of the metrics' names.
func (m *objectMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.counts
	out <- m.unmet
	out <- m.expiry
}

// Collect shows the view in force, or nothing before there is one.
func (m *objectMetrics) Collect(out chan<- prometheus.Metric) {
	v := m.view()
	if v == nil {
		return
	}
	m.mu.Lock()
	if m.of != v {
		m.of, m.conditions, m.listed = v, m.countConditions(v.Statuses), map[object.Key]bool{}
		m.certificates = m.expiries(v.Graph, m.listed)
	}
	conditions, certificates, listed := m.conditions, m.certificates, m.listed
	m.mu.Unlock()
	for _, metric := range conditions {
		out <- metric
	}
	for _, metric := range certificates {
		out <- metric
	}
	for _, h := range m.held() {
		if !listed[h.Secret] {
			out <- m.expires(h.Secret, h.NotAfter)
		}
	}
}

func (m *objectMetrics) expires(secret object.Key, at time.Time) prometheus.Metric {
	return prometheus.MustNewConstMetric(m.expiry, prometheus.GaugeValue, float64(at.Unix()), secret.Namespace, secret.Name)
}

// conditionCount is the labels of a count.
type conditionCount struct{ kind, typ, status string }

// countConditions counts all conditions, and lists those that are not as one wants them.
func (m *objectMetrics) countConditions(s *gateway.StatusSet) []prometheus.Metric {
	var list []prometheus.Metric
	counts := map[conditionCount]int{}
	seen := map[[6]string]bool{}
	for key, tree := range s.All() {
		eachCondition(tree, func(section string, c map[string]any) {
			typ, status := text(c, "type"), text(c, "status")
			counts[conditionCount{key.Kind, typ, status}]++
			if fulfilled(typ, status) || len(seen) == maxUnmet {
				return
			}
			labels := [6]string{key.Kind, key.Namespace, key.Name, section, typ, text(c, "reason")}
			if !seen[labels] {
				seen[labels] = true
				list = append(list, prometheus.MustNewConstMetric(m.unmet, prometheus.GaugeValue, 1, labels[:]...))
			}
		})
	}
	for c, n := range counts {
		list = append(list, prometheus.MustNewConstMetric(m.counts, prometheus.GaugeValue, float64(n), c.kind, c.typ, c.status))
	}
	return list
}

// eachCondition visits the conditions of a status: the object's own, and those of its listeners, parents and ancestors.
func eachCondition(status map[string]any, visit func(section string, condition map[string]any)) {
	conditionsOf(status, "", visit)
	for _, l := range entries(status, "listeners") {
		conditionsOf(l, text(l, "name"), visit)
	}
	for _, p := range entries(status, "parents") {
		conditionsOf(p, section(p, "parentRef"), visit)
	}
	for _, a := range entries(status, "ancestors") {
		conditionsOf(a, section(a, "ancestorRef"), visit)
	}
}

func conditionsOf(tree map[string]any, section string, visit func(string, map[string]any)) {
	for _, c := range entries(tree, "conditions") {
		visit(section, c)
	}
}

// section names the parent of a status entry: its name, and the listener if one is named.
func section(entry map[string]any, ref string) string {
	r, _ := entry[ref].(map[string]any)
	if s := text(r, "sectionName"); s != "" {
		return text(r, "name") + "/" + s
	}
	return text(r, "name")
}

func entries(tree map[string]any, field string) (list []map[string]any) {
	all, _ := tree[field].([]any)
	for _, e := range all {
		if m, ok := e.(map[string]any); ok {
			list = append(list, m)
		}
	}
	return list
}

func text(tree map[string]any, field string) string {
	s, _ := tree[field].(string)
	return s
}

// fulfilled reports whether a condition is as one wants it. A few types of conditions tell of something bad when they are True.
func fulfilled(typ, status string) bool {
	switch typ {
	case string(gatewayv1.ListenerConditionConflicted), string(gatewayv1.ListenerConditionOverlappingTLSConfig),
		string(gatewayv1.RouteConditionPartiallyInvalid), string(gatewayv1.GatewayConditionInsecureFrontendValidationMode):
		return status == "False"
	}
	return status == "True"
}

// expiries lists when the certificates of listeners expire that come from Secrets, each Secret once, and notes them. Those that stand in for others tell
// nobody anything, and those that are obtained by hostname have no Secret: the engine knows them.
func (m *objectMetrics) expiries(g *gateway.Graph, listed map[object.Key]bool) []prometheus.Metric {
	var list []prometheus.Metric
	for _, s := range g.Sockets {
		for _, l := range s.Listeners {
			for _, c := range l.Certificates {
				if c.Placeholder != "" || c.Secret.Namespace == "" || listed[c.Secret.Key] {
					continue
				}
				listed[c.Secret.Key] = true
				list = append(list, m.expires(c.Secret.Key, c.TLS.Leaf.NotAfter))
			}
		}
	}
	return list
}
