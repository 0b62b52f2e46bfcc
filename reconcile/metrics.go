// Metrics of the reload loop.

package reconcile

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/object"
)

// metrics counts runs. A nil Registerer leaves it working and unseen.
type metrics struct {
	reloads    *prometheus.CounterVec
	last       prometheus.Gauge
	took       prometheus.Gauge
	generation prometheus.Gauge
	objects    prometheus.Gauge
	found      *prometheus.GaugeVec
	unbound    prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "wicketgate_" + name, Help: help})
	}
	m := &metrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wicketgate_config_reloads_total",
			Help: "Runs over the configuration: ok, problems (served as far as it is valid), failed (nothing changed).",
		}, []string{"result"}),
		last:       gauge("config_last_success_timestamp_seconds", "When a configuration was last put into force."),
		took:       gauge("config_last_reload_duration_seconds", "Time from reading the files to serving them, last run."),
		generation: gauge("config_generation", "Number of the configuration in force."),
		objects:    gauge("config_objects", "Admitted objects in force."),
		found: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "wicketgate_config_problems", Help: "Problems of the configuration in force.",
		}, []string{"severity"}),
		unbound: gauge("sockets_failed", "Sockets that should be listened on and could not be bound."),
	}
	for _, result := range [...]string{"ok", "problems", "failed"} {
		m.reloads.WithLabelValues(result) // a rate needs the zero before the first
	}
	if r != nil {
		r.MustRegister(m.reloads, m.last, m.took, m.generation, m.objects, m.found, m.unbound)
	}
	return m
}

// ran counts a run that did not fail.
func (m *metrics) ran(v *View) {
	result := "ok"
	if v.Errors() > 0 {
		result = "problems"
	}
	m.reloads.WithLabelValues(result).Inc()
}

func (m *metrics) served(v *View) {
	m.ran(v)
	m.last.Set(float64(v.Served.UnixMicro()) / 1e6)
	m.took.Set(v.Took.Seconds())
	m.objects.Set(float64(v.Objects().Len()))
	m.inForce(v)
}

func (m *metrics) inForce(v *View) {
	count := map[object.Severity]int{}
	for _, p := range v.Problems {
		count[p.Severity]++
	}
	for _, s := range [...]object.Severity{object.Error, object.Warning, object.Ignored} {
		m.found.WithLabelValues(s.String()).Set(float64(count[s]))
	}
	m.generation.Set(float64(v.Generation))
	m.unbound.Set(float64(len(v.Failed)))
}

func (m *metrics) failed() { m.reloads.WithLabelValues("failed").Inc() }
