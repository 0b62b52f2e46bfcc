// Conditions: every one that a status can carry has its constructor here, and the rule by which faults become conditions.
//
// Build records what is wrong with a node as faults, each with the field that causes it. At the end faults become the node's
// conditions (one a type, the first fault's reason, all messages) and problems (one a fault, with a position).

package gateway

import (
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The condition types that Wicketgate writes. Others in a file's status belong to somebody else and are returned untouched.
const (
	typeAccepted          = string(gatewayv1.GatewayConditionAccepted)
	typeProgrammed        = string(gatewayv1.GatewayConditionProgrammed)
	typeResolvedRefs      = string(gatewayv1.GatewayConditionResolvedRefs)
	typeConflicted        = string(gatewayv1.ListenerConditionConflicted)
	typeInsecureFrontend  = string(gatewayv1.GatewayConditionInsecureFrontendValidationMode)
	typeOverlapping       = string(gatewayv1.ListenerConditionOverlappingTLSConfig)
	typePartiallyInvalid  = string(gatewayv1.RouteConditionPartiallyInvalid)
	typeAddressesAssigned = string(gatewayv1.GatewayConditionAddressesAssigned)
	// typeDefaultGateway is GEP-3793's; the API has no constant for it.
	typeDefaultGateway   = "DefaultGateway"
	typeSupportedVersion = string(gatewayv1.GatewayClassConditionStatusSupportedVersion)
)

// The reasons that are not constants of the condition's own type in the API, or that several types share.
const (
	reasonAccepted           = string(gatewayv1.GatewayReasonAccepted)
	reasonResolvedRefs       = string(gatewayv1.GatewayReasonResolvedRefs)
	reasonProgrammed         = string(gatewayv1.GatewayReasonProgrammed)
	reasonInvalid            = string(gatewayv1.GatewayReasonInvalid)
	reasonPending            = string(gatewayv1.GatewayReasonPending)
	reasonUnsupportedValue   = string(gatewayv1.RouteReasonUnsupportedValue)
	reasonIncompatible       = string(gatewayv1.RouteReasonIncompatibleFilters)
	reasonInvalidParameters  = string(gatewayv1.GatewayReasonInvalidParameters)
	reasonUnsupportedAddress = string(gatewayv1.GatewayReasonUnsupportedAddress)
	reasonListenersNotValid  = string(gatewayv1.GatewayReasonListenersNotValid)
	reasonNotPermitted       = string(gatewayv1.RouteReasonRefNotPermitted)
	reasonInvalidKind        = string(gatewayv1.RouteReasonInvalidKind)
	reasonBackendNotFound    = string(gatewayv1.RouteReasonBackendNotFound)
	reasonUnsupportedProto   = string(gatewayv1.RouteReasonUnsupportedProtocol)
	reasonPortUnavailable    = string(gatewayv1.ListenerReasonPortUnavailable)
	reasonInvalidCertificate = string(gatewayv1.ListenerReasonInvalidCertificateRef)
	reasonInvalidRouteKinds  = string(gatewayv1.ListenerReasonInvalidRouteKinds)
	reasonHostnameConflict   = string(gatewayv1.ListenerReasonHostnameConflict)
	reasonProtocolConflict   = string(gatewayv1.ListenerReasonProtocolConflict)
	reasonAddressNotUsable   = string(gatewayv1.GatewayReasonAddressNotUsable)
	reasonAddressesAssigned  = string(gatewayv1.GatewayReasonAddressesAssigned)
	reasonAddressesNone      = string(gatewayv1.GatewayReasonAddressesNotAssigned)
	reasonConflicted         = string(gatewayv1.PolicyReasonConflicted)
	reasonNotAllowed         = string(gatewayv1.ListenerSetReasonNotAllowed)
	reasonParentNotAccepted  = string(gatewayv1.ListenerSetReasonParentNotAccepted)
	// reasonParentNotProgrammed is in the documentation of the API, but not among its constants.
	reasonParentNotProgrammed = "ParentNotProgrammed"
)

// fault is one reason why a condition of a node is not as its author wants it.
type fault struct {
	condition string // the type of the condition that it spoils
	reason    string
	field     string // of the node's object, for the position
	where     string // how the condition's message names the field, if it has to: a problem has the field itself
	message   string // what is wrong and what to do; no full stop at the end
}

// faults are collected in the order of the spec, which is the order of messages.
type faults []fault

// add records a fault.
func (f *faults) add(condition, reason, field, message string) {
	*f = append(*f, fault{condition: condition, reason: reason, field: field, message: message})
}

// has says whether any fault spoils this condition.
func (f faults) has(condition string) bool {
	for _, x := range f {
		if x.condition == condition {
			return true
		}
	}
	return false
}

// summary gives the reason of the first fault of a condition, and the messages of all.
func (f faults) summary(condition string) (reason, message string) {
	var messages []string
	for _, x := range f {
		if x.condition != condition {
			continue
		}
		if reason == "" {
			reason = x.reason
		}
		messages = append(messages, x.where+x.message)
	}
	return reason, join(messages)
}

// maxMessages bounds how many single messages one condition repeats: statuses are read by people.
const maxMessages = 8

// join puts messages into one, with a count instead of those beyond maxMessages.
func join(messages []string) string { return strings.Join(bounded(messages), "; ") }

// enumerate does the same for names.
func enumerate(names []string) string { return strings.Join(bounded(names), ", ") }

func bounded(list []string) []string {
	if len(list) <= maxMessages {
		return list
	}
	return append(list[:maxMessages:maxMessages], strconv.Itoa(len(list)-maxMessages)+" more")
}

// positive makes a condition that is True with the given reason and message unless faults say otherwise.
func (f faults) positive(condition, reason, message string) Condition {
	if why, what := f.summary(condition); why != "" {
		return Condition{condition, metav1.ConditionFalse, why, what}
	}
	return Condition{condition, metav1.ConditionTrue, reason, message}
}

func classAccepted(message string) Condition {
	return Condition{typeAccepted, metav1.ConditionTrue, reasonAccepted, message}
}

func classInvalidParameters(message string) Condition {
	return Condition{typeAccepted, metav1.ConditionFalse, reasonInvalidParameters, message}
}

func classSupportedVersion() Condition {
	return Condition{
		typeSupportedVersion, metav1.ConditionTrue, string(gatewayv1.GatewayClassReasonSupportedVersion),
		"The experimental channel of Gateway API " + apiVersion + " is built in",
	}
}

// gatewayAccepted is True as long as one of the Gateway's listeners or ListenerSets is accepted; the reason tells that others of its
// own listeners are not. ListenerSets have a status that tells of theirs.
func gatewayAccepted(gw *Gateway, invalid []string) Condition {
	c := gw.faults.positive(typeAccepted, reasonAccepted, "The Gateway is accepted")
	switch {
	case c.Status == metav1.ConditionFalse || len(invalid) == 0:
		return c
	case len(invalid) == len(gw.Listeners) && gw.attachedListenerSets() == 0:
		return Condition{typeAccepted, metav1.ConditionFalse, reasonListenersNotValid, "No listener is valid: " + enumerate(invalid)}
	}
	c.Reason, c.Message = reasonListenersNotValid, "Some listeners are not valid: "+enumerate(invalid)
	return c
}

func gatewayResolvedRefs(f faults, unresolved []string) Condition {
	c := f.positive(typeResolvedRefs, reasonResolvedRefs, "All references are resolved")
	if c.Status == metav1.ConditionTrue && len(unresolved) > 0 {
		return Condition{
			typeResolvedRefs, metav1.ConditionFalse, string(gatewayv1.GatewayReasonListenersNotResolved),
			"Listeners with references that are not resolved: " + enumerate(unresolved),
		}
	}
	return c
}

// gatewayInsecureFrontend tells that clients are served without a valid certificate; it is left out where none are.
func gatewayInsecureFrontend() Condition {
	return Condition{
		typeInsecureFrontend, metav1.ConditionTrue, string(gatewayv1.GatewayReasonConfigurationChanged),
		"Mode AllowInsecureFallback serves clients whose certificate is missing or not valid",
	}
}

// listenerSetAccepted is True as long as one of the ListenerSet's listeners is valid; the reason tells that others are not.
func listenerSetAccepted(s *ListenerSet, invalid []string) Condition {
	c := s.faults.positive(typeAccepted, reasonAccepted, "The ListenerSet is accepted")
	switch {
	case c.Status == metav1.ConditionFalse:
		return c
	case s.Gateway.faults.has(typeAccepted):
		return Condition{typeAccepted, metav1.ConditionFalse, reasonParentNotAccepted, s.Gateway.Object.Key.String() + " is not accepted"}
	case len(invalid) == len(s.Listeners):
		return Condition{typeAccepted, metav1.ConditionFalse, reasonListenersNotValid, "No listener is valid: " + enumerate(invalid)}
	case len(invalid) > 0:
		c.Reason, c.Message = reasonListenersNotValid, "Some listeners are not valid: "+enumerate(invalid)
	}
	return c
}

// gatewayDefault tells which routes the Gateway takes beyond those that name it.
func gatewayDefault(scope gatewayv1.GatewayDefaultScope) Condition {
	return Condition{typeDefaultGateway, metav1.ConditionTrue, typeDefaultGateway, "The Gateway has default scope " + string(scope)}
}

// gatewayAddresses says whether all addresses that the spec asks for are there (GEP-5093): how many are, and what is wrong with the others.
func gatewayAddresses(assigned int, missing []string) Condition {
	switch {
	case len(missing) == 0:
		return Condition{typeAddressesAssigned, metav1.ConditionTrue, reasonAddressesAssigned, "All addresses are assigned"}
	case assigned > 0:
		return Condition{typeAddressesAssigned, metav1.ConditionFalse, string(gatewayv1.GatewayReasonAddressesPartiallyAssigned), join(missing)}
	}
	return Condition{typeAddressesAssigned, metav1.ConditionFalse, reasonAddressesNone, join(missing)}
}

func listenerAccepted(f faults) Condition {
	return f.positive(typeAccepted, reasonAccepted, "The listener is accepted")
}

func listenerResolvedRefs(f faults) Condition {
	return f.positive(typeResolvedRefs, reasonResolvedRefs, "All references are resolved")
}

// listenerConflicted has negative polarity: a fault makes it True.
func listenerConflicted(f faults) Condition {
	if why, what := f.summary(typeConflicted); why != "" {
		return Condition{typeConflicted, metav1.ConditionTrue, why, what}
	}
	return Condition{typeConflicted, metav1.ConditionFalse, string(gatewayv1.ListenerReasonNoConflicts), "No conflicts"}
}

func listenerOverlapping(others []string) Condition {
	return Condition{
		typeOverlapping, metav1.ConditionTrue, string(gatewayv1.ListenerReasonOverlappingHostnames),
		"Hostnames overlap with " + enumerate(others) + "; a client that reuses a connection for another listener's hostname may be answered with 421",
	}
}

func routeAccepted(message string) Condition {
	return Condition{typeAccepted, metav1.ConditionTrue, reasonAccepted, message}
}

func routeNotAccepted(reason, message string) Condition {
	return Condition{typeAccepted, metav1.ConditionFalse, reason, message}
}

func routeResolvedRefs(f faults, message string) Condition {
	return f.positive(typeResolvedRefs, reasonResolvedRefs, message)
}

// routePartiallyInvalid follows the specification's approach "Drop Rule(s)", whose message begins with "Dropped Rule".
func routePartiallyInvalid(message string) Condition {
	return Condition{typePartiallyInvalid, metav1.ConditionTrue, reasonUnsupportedValue, "Dropped Rule: " + message}
}

func programmed(message string) Condition {
	return Condition{typeProgrammed, metav1.ConditionTrue, reasonProgrammed, message}
}

func notProgrammed(reason, message string) Condition {
	return Condition{typeProgrammed, metav1.ConditionFalse, reason, message}
}
