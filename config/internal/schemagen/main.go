// Command schemagen writes config/schemas.json: what admission needs to know about the kinds of the Gateway API, taken from
// the experimental-channel CRDs of the gateway-api module that go.mod pins.
//
// Run it by `go generate ./config` after that module changed. Descriptions are dropped (they are nine tenths of the text), and a
// version whose schema equals an earlier version's only names it, so that both share one compiled schema:
//
//	{"name": "v1beta1", "schemaOf": "v1"}
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// gatewayAPI is the module whose CRDs are read.
const gatewayAPI = "sigs.k8s.io/gateway-api"

// kind and version are the JSON that config reads back; the field names must agree with config/registry.go.
type (
	kind struct {
		Group      string    `json:"group"`
		Kind       string    `json:"kind"`
		Plural     string    `json:"plural"`
		Singular   string    `json:"singular"`
		ShortNames []string  `json:"shortNames,omitempty"`
		Namespaced bool      `json:"namespaced,omitempty"`
		Versions   []version `json:"versions"`
	}
	version struct {
		Name       string                                           `json:"name"`
		Deprecated string                                           `json:"deprecated,omitempty"`
		Columns    []apiextensionsv1.CustomResourceColumnDefinition `json:"columns,omitempty"`
		SchemaOf   string                                           `json:"schemaOf,omitempty"`
		Schema     json.RawMessage                                  `json:"schema,omitempty"`
	}
)

func main() {
	if err := run("schemas.json"); err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1) //nolint:forbidigo // this is the main of a program of its own
	}
}

// run writes the generated file.
func run(target string) error {
	dir, err := moduleDir()
	if err != nil {
		return err
	}
	text, err := generate(filepath.Join(dir, "config", "crd", "experimental"))
	if err != nil {
		return err
	}
	return os.WriteFile(target, text, 0o644)
}

// moduleDir is where the module cache holds the pinned gateway-api module.
func moduleDir() (string, error) {
	out, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", gatewayAPI).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("find module %s: %w", gatewayAPI, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// generate reads the CRDs of a directory and returns the JSON array of their kinds, one kind a line, ordered by group and kind.
func generate(dir string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var kinds []kind
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		// The directory also holds a kustomization and an admission policy.
		if err := yaml.Unmarshal(text, &crd); err != nil || crd.Kind != "CustomResourceDefinition" {
			continue
		}
		k, err := kindOf(&crd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		kinds = append(kinds, k)
	}
	if len(kinds) == 0 {
		return nil, fmt.Errorf("no CustomResourceDefinition in %s", dir)
	}
	slices.SortFunc(kinds, func(a, b kind) int { return strings.Compare(a.Group+"/"+a.Kind, b.Group+"/"+b.Kind) })
	return render(kinds)
}

// kindOf reduces a CRD to what admission uses. Versions that the CRD does not serve are left out.
func kindOf(crd *apiextensionsv1.CustomResourceDefinition) (kind, error) {
	names := crd.Spec.Names
	k := kind{
		Group: crd.Spec.Group, Kind: names.Kind, Plural: names.Plural, Singular: names.Singular,
		ShortNames: names.ShortNames, Namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
	}
	for _, v := range crd.Spec.Versions {
		if !v.Served {
			continue
		}
		strip(v.Schema.OpenAPIV3Schema)
		schema, err := json.Marshal(v.Schema.OpenAPIV3Schema)
		if err != nil {
			return kind{}, err
		}
		out := version{Name: v.Name, Columns: v.AdditionalPrinterColumns, Schema: schema}
		for i := range out.Columns {
			out.Columns[i].Description = ""
		}
		if v.Deprecated {
			out.Deprecated = "deprecated"
			if v.DeprecationWarning != nil {
				out.Deprecated = *v.DeprecationWarning
			}
		}
		if same := slices.IndexFunc(k.Versions, func(o version) bool { return bytes.Equal(o.Schema, schema) }); same >= 0 {
			out.SchemaOf, out.Schema = k.Versions[same].Name, nil
		}
		k.Versions = append(k.Versions, out)
	}
	return k, nil
}

// strip removes the descriptions of a schema and of everything in it.
func strip(s *apiextensionsv1.JSONSchemaProps) {
	if s == nil {
		return
	}
	s.Description = ""
	for name, p := range s.Properties {
		strip(&p)
		s.Properties[name] = p
	}
	if s.Items != nil {
		strip(s.Items.Schema)
	}
	if s.AdditionalProperties != nil {
		strip(s.AdditionalProperties.Schema)
	}
	strip(s.Not)
	for _, list := range [][]apiextensionsv1.JSONSchemaProps{s.AllOf, s.AnyOf, s.OneOf} {
		for i := range list {
			strip(&list[i])
		}
	}
}

// render writes one version a line, so that a new release of the module gives a diff that says which versions changed.
func render(kinds []kind) ([]byte, error) {
	text, err := json.Marshal(kinds)
	if err != nil {
		return nil, err
	}
	text = bytes.ReplaceAll(text, []byte(`{"group":"`), []byte("\n"+`{"group":"`))
	text = bytes.ReplaceAll(text, []byte(`{"name":"v1`), []byte("\n "+`{"name":"v1`))
	text = append(text, '\n')
	if !json.Valid(text) {
		return nil, errors.New("the rendered text is not JSON")
	}
	return text, nil
}
