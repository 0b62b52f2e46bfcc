// get against a running gateway: what kubectl would print, byte for byte.

package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// getManifests has objects of several namespaces; those with a date are thirty hours old.
func getManifests(port int) string {
	born := time.Now().Add(-30*time.Hour - 10*time.Minute).UTC().Format(time.RFC3339) // shown in hours, and so for long the same
	return fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: public, creationTimestamp: "%[1]s"}
spec: {controllerName: example.com/controller, description: for everybody}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, creationTimestamp: "%[1]s"}
spec:
  gatewayClassName: public
  addresses: [{value: 127.0.0.1}]
  listeners: [{name: http, port: %[2]d, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, creationTimestamp: "%[1]s", labels: {app: shop}}
spec:
  parentRefs: [{name: web}]
  hostnames: [shop.example.com, www.example.com]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: blog, namespace: team-b}
spec:
  parentRefs: [{name: web, namespace: default}]
---
apiVersion: v1
kind: Service
metadata: {name: cart, creationTimestamp: "%[1]s"}
spec: {ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1", b: "2"}
---
apiVersion: v1
kind: Namespace
metadata: {name: team-b}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cart, creationTimestamp: "%[1]s", labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}, {addresses: [10.0.0.4]}]
`, born, port)
}

func TestGetPrintsWhatKubectlWould(t *testing.T) {
	g := startGate(t, map[string]string{"all.yaml": getManifests(freePort(t))})
	for _, c := range []struct{ args, stdout, stderr string }{
		{"gatewayclasses", `
NAME     CONTROLLER               ACCEPTED   AGE
public   example.com/controller   True       30h
`, ""},
		{"gc -o wide", `
NAME     CONTROLLER               ACCEPTED   AGE   DESCRIPTION
public   example.com/controller   True       30h   for everybody
`, ""},
		{"gtw", `
NAME   CLASS    ADDRESS     PROGRAMMED   AGE
web    public   127.0.0.1   True         30h
`, ""},
		{"gateways.v1.gateway.networking.k8s.io --no-headers", "\nweb   public   127.0.0.1   True   30h\n", ""},
		{"gateways.v1beta1.gateway.networking.k8s.io/web -o name", "\ngateway.gateway.networking.k8s.io/web\n", ""},
		{"gateway/web --no-headers", "\nweb   public   127.0.0.1   True   30h\n", ""},
		{"httproutes", `
NAME   HOSTNAMES                                AGE
shop   ["shop.example.com","www.example.com"]   30h
`, ""},
		{"HTTPRoute -A", `
NAMESPACE   NAME   HOSTNAMES                                AGE
default     shop   ["shop.example.com","www.example.com"]   30h
team-b      blog                                            <unknown>
`, ""},
		{"httproutes -A -l app=shop", `
NAMESPACE   NAME   HOSTNAMES                                AGE
default     shop   ["shop.example.com","www.example.com"]   30h
`, ""},
		{"httproute blog -n team-b", `
NAME   HOSTNAMES   AGE
blog               <unknown>
`, ""},
		{"gateways,httproutes,grpcroutes", `
NAME                                    CLASS    ADDRESS     PROGRAMMED   AGE
gateway.gateway.networking.k8s.io/web   public   127.0.0.1   True         30h

NAME                                       HOSTNAMES                                AGE
httproute.gateway.networking.k8s.io/shop   ["shop.example.com","www.example.com"]   30h
`, ""},
		{"gateways,httproutes --no-headers", `
gateway.gateway.networking.k8s.io/web   public   127.0.0.1   True   30h
httproute.gateway.networking.k8s.io/shop   ["shop.example.com","www.example.com"]   30h
`, ""},
		{"svc cart", `
NAME   TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)         AGE
cart   ClusterIP   <none>       <none>        80/TCP,53/UDP   30h
`, ""},
		{"cm", `
NAME       DATA   AGE
settings   2      <unknown>
`, ""},
		{"ns", `
NAME     STATUS   AGE
team-b   Active   <unknown>
`, ""},
		{"endpointslices", `
NAME   ADDRESSTYPE   PORTS   ENDPOINTS                                AGE
cart   IPv4          8080    10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...   30h
`, ""},
		{"httproutes -A -o name", "\nhttproute.gateway.networking.k8s.io/shop\nhttproute.gateway.networking.k8s.io/blog\n", ""},
		{"services -o name", "\nservice/cart\nservice/web-public\n", ""},
		{"gateway web -o jsonpath={.status.addresses[0].value}", "\n127.0.0.1", ""},
		{"gateway web -o jsonpath=.metadata.name", "\nweb", ""},
		{`httproute -A -o jsonpath={.items[*].status.parents[*].conditions[?(@.type=="Accepted")].status}`, "\nTrue True", ""},
		{"httproutes -n nowhere", "\n", "No resources found in nowhere namespace.\n"},
		{"grpcroutes -A", "\n", "No resources found\n"},
	} {
		stdout, stderr, code := g.get(strings.Fields(c.args)...)
		if code != 0 || "\n"+stdout != c.stdout || stderr != c.stderr {
			t.Errorf("get %s: exit status %d\n%s%s\nwant\n%s%s", c.args, code, stdout, stderr, c.stdout, c.stderr)
		}
	}
	if _, stderr, code := g.get("gateways.v7.gateway.networking.k8s.io"); code != 1 || !strings.Contains(stderr, `no version "v7" of gateways; there is v1, v1beta1`) {
		t.Errorf("a version that there is not: exit status %d, %s", code, stderr)
	}
	stdout, stderr, code := g.get("gateway", "web", "other", "--no-headers")
	if code != 1 || stdout != "web   public   127.0.0.1   True   30h\n" || !strings.Contains(stderr, `"other" not found`) {
		t.Errorf("one that is there and one that is not: exit status %d\n%s%s", code, stdout, stderr)
	}
	if stdout, _, code := g.get("gateway", "other", "web", "-o", "name"); code != 1 || stdout != "gateway.gateway.networking.k8s.io/web\n" {
		t.Errorf("names of one that is there and one that is not: exit status %d\n%s", code, stdout)
	}
	for args, want := range map[string]string{
		"httproute other":                `from server (NotFound): httproutes.gateway.networking.k8s.io "other" not found`,
		"pods":                           "the kinds are",
		"gateway web -A":                 "leave out -A",
		"gateway/web shop":               "KIND/NAME",
		"gateway web -o xml":             "jsonpath=TEMPLATE",
		"gateway web -o jsonpath={":      "jsonpath",
		"gateways -l ===":                "labelSelector",
		"gateways --admin 127.0.0.1:1":   "is `wicketgate run` running",
		"gateways --admin-token-file /x": "admin token",
	} {
		if _, stderr, code := g.get(strings.Fields(args)...); code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("get %s: exit status %d, %q lacks %q", args, code, stderr, want)
		}
	}
}

func TestGetYAMLAndJSONAreTheObject(t *testing.T) {
	g := startGate(t, map[string]string{"all.yaml": getManifests(freePort(t))})
	for _, format := range []string{"yaml", "json"} {
		decode := func(args ...string) (tree map[string]any) {
			t.Helper()
			text, stderr, code := g.get(append(args, "-o", format)...)
			var err error
			if format == "yaml" {
				err = yaml.Unmarshal([]byte(text), &tree)
			} else {
				err = json.Unmarshal([]byte(text), &tree)
			}
			if err != nil || code != 0 {
				t.Fatalf("%v %s", err, stderr)
			}
			return tree
		}
		one := decode("gateway", "web")
		if one["kind"] != "Gateway" || one["status"] == nil || one["spec"] == nil {
			t.Errorf("%s: %v", format, one)
		}
		if list := decode("httproutes,gateways", "-A"); list["kind"] != "List" || len(list["items"].([]any)) != 3 {
			t.Errorf("%s: %v", format, list)
		}
		if list := decode("grpcroutes"); list["kind"] != "List" || len(list["items"].([]any)) != 0 {
			t.Errorf("%s: %v", format, list)
		}
	}
}
