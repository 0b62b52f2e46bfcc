// The labels and annotations that Gateways put on whatever is about them, as metrics: a query can join them with any series of the Gateway.

package cli

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/reconcile"
)

// gatewayMetrics is a prometheus.Collector over the Gateways that are in force.
type gatewayMetrics struct {
	view func() *reconcile.View // nil until something is served
	desc *prometheus.Desc
}

func newGatewayMetrics(view func() *reconcile.View) *gatewayMetrics {
	return &gatewayMetrics{view: view, desc: prometheus.NewDesc("wicketgate_gateway_infrastructure_info",
		"Always 1; one series for each label and annotation of a Gateway's spec.infrastructure.", []string{"gateway", "type", "key", "value"}, nil)}
}

// Describe tells the registry of the metric's name.
func (m *gatewayMetrics) Describe(out chan<- *prometheus.Desc) { out <- m.desc }

// Collect reads the Gateways.
func (m *gatewayMetrics) Collect(out chan<- prometheus.Metric) {
	v := m.view()
	if v == nil {
		return
	}
	for _, gw := range v.Graph.Gateways {
		infrastructure := gw.Spec.Spec.Infrastructure
		if infrastructure == nil {
			continue
		}
		named := gw.Object.Namespace + "/" + gw.Object.Name
		for key, value := range infrastructure.Labels {
			out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, 1, named, "label", string(key), string(value))
		}
		for key, value := range infrastructure.Annotations {
			out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, 1, named, "annotation", string(key), string(value))
		}
	}
}
