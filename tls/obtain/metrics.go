// Metrics of certificates that are managed.

package obtain

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/tls/issue"
)

type metrics struct {
	obtained *prometheus.CounterVec
	failures *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wicketgate_certificates_" + name + "_total", Help: help}, []string{"issuer"})
	}
	m := &metrics{
		obtained: counter("obtained", "Certificates that were obtained or renewed."),
		failures: counter("failures", "Attempts to obtain or renew a certificate that failed."),
	}
	if r != nil {
		r.MustRegister(m.obtained, m.failures)
	}
	return m
}

// issuerLabel names an issuer in a label.
func issuerLabel(i *issue.Issuer) string {
	if i.Key.Namespace == "" {
		return i.Key.Name
	}
	return i.Key.Namespace + "/" + i.Key.Name
}

func (m *metrics) issued(c *issue.Certificate) {
	m.obtained.WithLabelValues(issuerLabel(c.Issuer)).Inc()
}

func (m *metrics) failed(c *issue.Certificate) {
	m.failures.WithLabelValues(issuerLabel(c.Issuer)).Inc()
}

// expiry is a gauge for each certificate that is managed, made when it is asked for.
type expiry struct {
	engine      *Engine
	description *prometheus.Desc
}

func newExpiry(e *Engine) *expiry {
	return &expiry{e, prometheus.NewDesc("wicketgate_certificate_expiry_timestamp_seconds", "When a managed certificate expires.",
		[]string{"namespace", "name"}, nil)}
}

// Describe implements prometheus.Collector.
func (x *expiry) Describe(out chan<- *prometheus.Desc) { out <- x.description }

// Collect implements prometheus.Collector.
func (x *expiry) Collect(out chan<- prometheus.Metric) {
	x.engine.mu.Lock()
	defer x.engine.mu.Unlock()
	for _, s := range x.engine.states {
		if s.want == nil || s.held == nil {
			continue
		}
		out <- prometheus.MustNewConstMetric(x.description, prometheus.GaugeValue, float64(s.held.leaf.NotAfter.Unix()),
			s.want.Object.Namespace, s.want.Object.Name)
	}
}
