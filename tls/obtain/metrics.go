// Metrics of certificates that are managed.

package obtain

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/object"
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

// Expiry says when a certificate ends that is held.
type Expiry struct {
	Secret   object.Key
	NotAfter time.Time
}

// Expiries gives the certificates that are wanted and held.
func (e *Engine) Expiries() []Expiry {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Expiry
	for _, s := range e.states {
		if s.want != nil && s.held != nil {
			list = append(list, Expiry{s.want.Secret, s.held.leaf.NotAfter})
		}
	}
	return list
}
