// What spec.infrastructure of a Gateway is seen in: the Service that describes it, a metric, and log lines.

package cli

import (
	"net/http"
	"strings"
	"testing"
)

func TestInfrastructureIsSeenFromOutside(t *testing.T) {
	port := freePort(t)
	g := startGate(t, map[string]string{"gateway.yaml": strings.Replace(gatewayYAML(port), "  listeners:\n",
		"  infrastructure: {labels: {team: shop}, annotations: {example.com/pager: \"12\"}}\n  listeners:\n", 1)})
	if stdout, stderr, code := g.get("services", "-l", "gateway.networking.k8s.io/gateway-name=web", "-o", "jsonpath={.items[*].metadata.labels.team}"); code != 0 || stdout != "shop" {
		t.Errorf("get: %d %q %s", code, stdout, stderr)
	}
	_, text := g.ask("GET", "/metrics")
	for _, want := range []string{
		`wicketgate_gateway_infrastructure_info{gateway="default/web",key="team",type="label",value="shop"} 1`,
		`wicketgate_gateway_infrastructure_info{gateway="default/web",key="example.com/pager",type="annotation",value="12"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no metric %s", want)
		}
	}
	if code, _ := fetch(t, client, at(port, "/")); code != http.StatusNotFound {
		t.Fatal(code)
	}
	eventually(t, "the answer is logged with the labels", func() bool {
		log := g.log.String()
		return strings.Contains(log, "labels.team=shop") || strings.Contains(log, `"labels":{"team":"shop"}`)
	})
}
