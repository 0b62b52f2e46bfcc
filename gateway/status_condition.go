// Conditions as JSON trees, with the times that only successive statuses know.

package gateway

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/object"
)

// conditionKey is the place of a condition in an object's status: "" at its top, a listener's name, or a parentRef.
type conditionKey struct{ place, kind string }

// transition is a condition's status and since when it has it, in the form that the JSON tree shows.
type transition struct {
	status metav1.ConditionStatus
	since  string
}

// writer writes the conditions of one object.
type writer struct {
	object *object.Object
	before map[conditionKey]transition
	since  map[conditionKey]transition
	now    string
}

func (p *projection) writer(o *object.Object) *writer {
	w := &writer{object: o, since: map[conditionKey]transition{}, now: p.now.UTC().Format(time.RFC3339)}
	if of := p.previous.of(o.Key); of != nil {
		w.before = of.since
	}
	return w
}

// conditions writes ours, in the order given, and then those of others.
func (w *writer) conditions(place string, ours []Condition, foreign []any) []any {
	list := make([]any, 0, len(ours)+len(foreign))
	for _, c := range ours {
		key := conditionKey{place, c.Type}
		at := transition{c.Status, w.now}
		if old, ok := w.before[key]; ok && old.status == c.Status {
			at = old
		}
		w.since[key] = at
		list = append(list, map[string]any{
			"type":               c.Type,
			"status":             string(c.Status),
			"reason":             c.Reason,
			"message":            limit(c.Message),
			"observedGeneration": w.object.Meta.Generation,
			"lastTransitionTime": at.since,
		})
	}
	return append(list, foreign...)
}

// maxMessage is the longest message that the schema of a condition admits, in bytes.
const maxMessage = 32768

// limit cuts a message that is too long; it never is in practice.
func limit(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "")
}

// ownedType says whether we write conditions of a type, anywhere.
func ownedType(t string) bool {
	switch t {
	case typeAccepted, typeProgrammed, typeResolvedRefs, typeConflicted, typeOverlapping, typePartiallyInvalid, typeSupportedVersion,
		typeAddressesAssigned, typeDefaultGateway, typeInsecureFrontend:
		return true
	}
	return false
}

// foreignConditions gives the conditions in a part of a file's status whose types are not ours, untouched.
func foreignConditions(part map[string]any) []any {
	list, _ := part["conditions"].([]any)
	var foreign []any
	for _, c := range list {
		if tree, ok := c.(map[string]any); ok {
			if t, ok := tree["type"].(string); ok && !ownedType(t) {
				foreign = append(foreign, c)
			}
		}
	}
	return foreign
}
