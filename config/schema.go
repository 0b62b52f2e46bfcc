// The CRDs' schemas: structure, defaults and CEL rules, compiled when first needed.

package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// schema is the CRD schema of a version of a kind: what an API server defaults and validates by. It is compiled when an
// object first needs it, because CEL rules take a tenth of a second and more to compile. All methods may be called concurrently.
type schema struct {
	text json.RawMessage // OpenAPI v3, as in the CRD

	once       sync.Once
	err        error
	structural *structuralschema.Structural // without a default for the status: statuses are computed, not defaulted
	validator  validation.SchemaValidator
	status     validation.SchemaValidator // of the status alone

	rules     *rules // nil if the schema has no CEL rules
	judgeOnce sync.Once
	judge     *cel.Validator // the library's, of what rules do not say yes to
}

// compile readies the schema, all but its rules.
func (s *schema) compile() error {
	s.once.Do(func() {
		if s.err = s.build(); s.err != nil {
			s.err = fmt.Errorf("schema: %w", s.err)
		}
	})
	return s.err
}

// broken lists the CEL rules that an object does not keep. The schema is ready.
func (s *schema) broken(ctx context.Context, tree map[string]any) field.ErrorList {
	if s.rules.hold(ctx, tree) {
		return nil
	}
	s.judgeOnce.Do(func() { s.judge = cel.NewValidator(s.structural, true, celconfig.PerCallLimit) })
	errs, _ := s.judge.Validate(ctx, nil, s.structural, tree, nil, celconfig.RuntimeCELCostBudget)
	return errs
}

func (s *schema) build() error {
	var external apiextensionsv1.JSONSchemaProps
	if err := json.Unmarshal(s.text, &external); err != nil {
		return err
	}
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&external, &internal, nil); err != nil {
		return err
	}
	structural, err := structuralschema.NewStructural(&internal)
	if err != nil {
		return err
	}
	structural = structural.DeepCopy()
	if err := defaulting.PruneDefaults(structural); err != nil {
		return err
	}
	if status, ok := structural.Properties["status"]; ok {
		status.Default = structuralschema.JSON{}
		structural.Properties["status"] = status
		props := internal.Properties["status"]
		if s.status, _, err = validation.NewSchemaValidator(&props); err != nil {
			return err
		}
	}
	if s.validator, _, err = validation.NewSchemaValidator(&internal); err != nil {
		return err
	}
	s.structural, s.rules = structural, newRules(structural)
	return nil
}

// admit defaults and validates an object in place, as an API server does on a create, except that unknown fields are errors and not
// dropped. The metadata is not its concern, and the status must not be in the tree. What is proven to be valid is only defaulted.
func (s *schema) admit(ctx context.Context, tree map[string]any, proven bool, f *findings) {
	if err := s.compile(); err != nil {
		f.errorf(nil, "%v", err)
		return
	}
	if !proven {
		s.unknown(tree, s.structural, nil, f)
	}
	refused := f.rejected()
	defaulting.PruneNonNullableNullsWithoutDefaults(tree, s.structural)
	defaulting.Default(tree, s.structural)
	if proven {
		return
	}
	errs := validation.ValidateCustomResource(nil, tree, s.validator)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, tree)...)
	// As in an API server, rules do not run on what the schema itself refuses: they would fail for its reasons.
	if !refused && !blocksRules(errs) {
		errs = append(errs, s.broken(ctx, tree)...)
	}
	f.add(errs)
}

// blocksRules reports whether one of the errors makes the outcome of CEL rules meaningless.
func blocksRules(errs field.ErrorList) bool {
	return slices.ContainsFunc(errs, func(e *field.Error) bool {
		switch e.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
		return false
	})
}

// admitStatus returns the status that a file gives, without the fields that the schema does not know, or an error if it is no status of
// this kind.
func (s *schema) admitStatus(status any) (map[string]any, error) {
	if err := s.compile(); err != nil {
		return nil, err
	}
	tree, ok := status.(map[string]any)
	switch {
	case s.status == nil:
		return nil, errors.New("this kind has none")
	case !ok:
		return nil, errors.New(mismatch("object", typeOf(status), status))
	}
	structural := s.structural.Properties["status"]
	pruning.Prune(tree, &structural, false)
	defaulting.PruneNonNullableNullsWithoutDefaults(tree, &structural)
	defaulting.Default(tree, &structural)
	for _, err := range validation.ValidateCustomResource(nil, tree, s.status) {
		return nil, fmt.Errorf("%s: %s", err.Field, words(err))
	}
	return tree, nil
}

// unknown reports the fields that a schema does not have.
func (s *schema) unknown(v any, st *structuralschema.Structural, path *field.Path, f *findings) {
	if st == nil || st.XPreserveUnknownFields {
		return
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			s.unknown(item, st.Items, path.Index(i), f)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if path == nil && (key == "metadata" || key == "apiVersion" || key == "kind") {
				continue
			}
			if p, ok := st.Properties[key]; ok {
				s.unknown(v[key], &p, path.Child(key), f)
				continue
			}
			if extra := st.AdditionalProperties; extra != nil {
				s.unknown(v[key], extra.Structural, path.Key(key), f)
				continue
			}
			if st.Type == "object" {
				known := slices.Collect(maps.Keys(st.Properties))
				f.errorf(path.Child(key), "%s", unknownField(key, known, s.elsewhere(key)))
			}
		}
	}
}

// elsewhere names the shallowest place of the spec that has a field of this name: "spec.rules[]". It returns "" if there is none, or if
// several are equally deep.
func (s *schema) elsewhere(name string) string {
	spec := s.structural.Properties["spec"]
	type node struct {
		path string
		at   *structuralschema.Structural
	}
	level := []node{{"spec", &spec}}
	for len(level) > 0 {
		var found []string
		var next []node
		for _, n := range level {
			for at, path := n.at, n.path; at != nil; at, path = at.Items, path+"[]" {
				if _, ok := at.Properties[name]; ok {
					found = append(found, path)
				}
				for key, p := range at.Properties {
					next = append(next, node{path + "." + key, &p})
				}
			}
		}
		if len(found) > 0 {
			if len(found) == 1 {
				return found[0]
			}
			return ""
		}
		level = next
	}
	return ""
}

// successor says which version to use instead of one that is not served.
func (k *Kind) successor(version string) string {
	var served []string
	for _, v := range k.Versions {
		if v.Deprecated == "" {
			served = append(served, k.APIVersion(v.Name))
		}
	}
	return fmt.Sprintf("version %s of %s is not served: write apiVersion: %s", version, k.Kind, strings.Join(served, " or "))
}
