// Benchmarks: reading, admission of one HTTPRoute, and a reload of a large directory.

package config

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
)

// benchRoute is an HTTPRoute as people write them: two rules, a header, a filter, weights.
const benchRoute = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop-%d, namespace: prod, labels: {team: shop}}
spec:
  parentRefs: [{name: public, namespace: infra, sectionName: https}]
  hostnames: ["shop-%[1]d.example.com"]
  rules:
    - matches:
        - path: {type: PathPrefix, value: /api/products}
          headers: [{name: x-env, value: prod}]
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: x-team, value: shop}]}
      backendRefs: [{name: products, port: 8080, weight: 80}, {name: products-v2, port: 8080, weight: 20}]
    - matches: [{path: {type: PathPrefix, value: /}}]
      backendRefs: [{name: web, port: 80}]
`

// BenchmarkReadDocument is what an HTTPRoute costs before admission: two parses, places, values.
func BenchmarkReadDocument(b *testing.B) {
	text := fmt.Appendf(nil, benchRoute, 1)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readDocument(chunk{text: text}, defaultLimits); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAdmitHTTPRoute is what the admission of an HTTPRoute costs once its schema is compiled; nearly all of it is CEL.
func BenchmarkAdmitHTTPRoute(b *testing.B) {
	d, err := readDocument(chunk{text: fmt.Appendf(nil, benchRoute, 1)}, defaultLimits)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var tree map[string]any
		if err := json.Unmarshal(d.json, &tree); err != nil {
			b.Fatal(err)
		}
		integers(tree)
		if out := admit(context.Background(), tree, Root{}, false); !out.admitted() {
			b.Fatal(out.findings)
		}
	}
}

// integers turns the numbers that encoding/json reads into what admission expects.
func integers(tree map[string]any) {
	for k, v := range tree {
		switch v := v.(type) {
		case float64:
			tree[k] = int64(v)
		case map[string]any:
			integers(v)
		case []any:
			for _, item := range v {
				if m, ok := item.(map[string]any); ok {
					integers(m)
				}
			}
		}
	}
}

// BenchmarkReload is a load of 1,000 files of which one changed.
func BenchmarkReload(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		write(b, filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), fmt.Sprintf(benchRoute, i))
	}
	l := eager(Options{Roots: []Root{{Path: dir}}})
	if _, err := l.Load(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		write(b, filepath.Join(dir, "7.yaml"), fmt.Sprintf(benchRoute, 1000+n))
		if _, err := l.Load(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
