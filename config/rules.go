// CEL rules, asked one question only: does an object keep all of them?
//
// Nearly all objects do, and nearly all the time of their admission went into the library's validator, which makes a map of all
// properties of a schema each time that a rule reads a field. Here the same compiled rules read the same values by schemas that remember their
// parts, and a rule is compiled when an object first has what it is about:
//
//	self.matches[0].path.value     the library makes three maps, one a dot; here the schema has them since it was read
//
// Whatever is no plain yes (a rule that is broken, that cannot be evaluated, or that costs more than an API server allows) is
// no answer: the library's validator then decides, and the words of the errors are its. So admission cannot refuse otherwise than the library
// does; that it admits the same is what a test compares.

package config

import (
	"context"
	"math"
	"sync"

	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apicel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
)

// rules are those of a schema and of what lies below it. All methods may be called concurrently.
type rules struct {
	schema   *structuralschema.Structural
	declared *apicel.DeclType // what a rule knows of the type of self
	values   common.Schema    // by which self is read
	// items, additional and properties lack what has no rules.
	items, additional *rules
	properties        map[string]*rules

	once     sync.Once
	programs []celgo.Program
	unsure   bool // there is a rule that cannot be asked here
}

// newRules returns the rules for whole objects of a schema, or nil if there are none.
func newRules(s *structuralschema.Structural) *rules {
	declared := model.SchemaDeclType(s, true)
	return rulesOf(s, declared, remember(&model.Structural{Structural: model.WithTypeAndObjectMeta(s)}))
}

// rulesOf pairs the nodes of a schema with the types that rules know of, as the library's validator does.
func rulesOf(s *structuralschema.Structural, declared *apicel.DeclType, values common.Schema) *rules {
	r := &rules{schema: s, declared: declared, values: values}
	r.unsure = s.XEmbeddedResource || s.ValueValidation != nil && anyRules(s.ValueValidation.AllOf)
	var element *apicel.DeclType
	if declared != nil {
		element = declared.ElemType
	}
	if s.Items != nil {
		r.items = rulesOf(s.Items, element, values.Items())
	}
	if extra := s.AdditionalProperties; extra != nil && extra.Structural != nil {
		r.additional = rulesOf(extra.Structural, element, values.AdditionalProperties().Schema())
	}
	r.properties = propertyRules(s, declared, values)
	if len(s.XValidations) == 0 && !r.unsure && r.items == nil && r.additional == nil && r.properties == nil {
		return nil
	}
	return r
}

// propertyRules are the rules of a schema's properties, by their names; nil if there are none.
func propertyRules(s *structuralschema.Structural, declared *apicel.DeclType, values common.Schema) (all map[string]*rules) {
	for name, property := range s.Properties {
		field := declaredField(declared, name, &property)
		if field == nil {
			continue // no rule knows of it
		}
		if r := rulesOf(&property, field, values.Properties()[name]); r != nil {
			if all == nil {
				all = map[string]*rules{}
			}
			all[name] = r
		}
	}
	return all
}

// declaredField is the type of a property, or nil if rules know of none.
func declaredField(declared *apicel.DeclType, name string, property *structuralschema.Structural) *apicel.DeclType {
	escaped, ok := apicel.Escape(name)
	if !ok {
		return model.SchemaDeclType(property, property.XEmbeddedResource)
	}
	if declared == nil || declared.Fields[escaped] == nil {
		return nil
	}
	return declared.Fields[escaped].Type
}

// anyRules reports whether there are rules among the parts of an allOf. The Gateway API has none; they are left to the library.
func anyRules(parts []structuralschema.NestedValueValidation) bool {
	for _, p := range parts {
		below := append([]structuralschema.NestedValueValidation(nil), p.AllOf...)
		for _, property := range p.Properties {
			below = append(below, property)
		}
		for _, one := range []*structuralschema.NestedValueValidation{p.Items, p.AdditionalProperties} {
			if one != nil {
				below = append(below, *one)
			}
		}
		if len(p.XValidations) > 0 || anyRules(below) {
			return true
		}
	}
	return false
}

// hold reports whether it is certain that an object keeps the rules.
func (r *rules) hold(ctx context.Context, object map[string]any) bool {
	budget := int64(celconfig.RuntimeCELCostBudget)
	return r.holdFor(ctx, object, &budget)
}

// holdFor takes the cost of the rules off the budget.
func (r *rules) holdFor(ctx context.Context, v any, budget *int64) bool {
	if r == nil || v == nil {
		return true
	}
	if !r.holdHere(ctx, v, budget) {
		return false
	}
	switch v := v.(type) {
	case []any:
		for i := 0; i < len(v) && r.items != nil; i++ {
			if !r.items.holdFor(ctx, v[i], budget) {
				return false
			}
		}
	case map[string]any:
		for key, value := range v {
			if !r.additional.holdFor(ctx, value, budget) || !r.properties[key].holdFor(ctx, value, budget) {
				return false
			}
		}
	}
	return true
}

// holdHere asks the rules of this node alone.
func (r *rules) holdHere(ctx context.Context, v any, budget *int64) bool {
	r.once.Do(r.compile)
	if r.unsure {
		return false
	}
	if len(r.programs) == 0 {
		return true
	}
	self := map[string]any{cel.ScopedVarName: common.UnstructuredToVal(v, r.values)}
	for _, p := range r.programs {
		answer, details, err := p.ContextEval(ctx, self)
		if err != nil || answer != types.True || details == nil {
			return false
		}
		cost := details.ActualCost()
		if cost == nil || *cost > math.MaxInt64 || int64(*cost) >= *budget {
			return false
		}
		*budget -= int64(*cost)
	}
	return true
}

// compile readies the rules of this node. Rules that compare with an earlier version are none of a create's, unless they say that they are.
func (r *rules) compile() {
	if len(r.schema.XValidations) == 0 {
		return
	}
	base := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	compiled, err := cel.Compile(r.schema, r.declared, celconfig.PerCallLimit, base, cel.StoredExpressionsEnvLoader())
	if err != nil {
		r.unsure = true
		return
	}
	for i, c := range compiled {
		optional := r.schema.XValidations[i].OptionalOldSelf
		switch {
		case c.Error != nil, optional != nil && *optional:
			r.unsure = true
		case c.Program != nil && !c.UsesOldSelf:
			r.programs = append(r.programs, c.Program)
		}
	}
}

// remembered is a schema that makes its parts once.
type remembered struct {
	common.Schema
	items      common.Schema
	properties map[string]common.Schema
	additional common.SchemaOrBool
}

// rememberedValues is what a schema says of the values of a mapping with free keys.
type rememberedValues struct {
	common.SchemaOrBool
	schema common.Schema
}

// remember returns a schema that is the same.
func remember(s common.Schema) common.Schema {
	r := &remembered{Schema: s}
	if items := s.Items(); items != nil {
		r.items = remember(items)
	}
	if properties := s.Properties(); properties != nil {
		r.properties = make(map[string]common.Schema, len(properties))
		for name, property := range properties {
			r.properties[name] = remember(property)
		}
	}
	if extra := s.AdditionalProperties(); extra != nil {
		v := &rememberedValues{SchemaOrBool: extra}
		if below := extra.Schema(); below != nil {
			v.schema = remember(below)
		}
		r.additional = v
	}
	return r
}

func (r *remembered) Items() common.Schema                      { return r.items }
func (r *remembered) Properties() map[string]common.Schema      { return r.properties }
func (r *remembered) AdditionalProperties() common.SchemaOrBool { return r.additional }
func (v *rememberedValues) Schema() common.Schema               { return v.schema }
