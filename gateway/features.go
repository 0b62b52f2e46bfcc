// The features of the Gateway API that are claimed in the status of GatewayClasses: one table, and nothing in it that is not true.

package gateway

import (
	"slices"

	"sigs.k8s.io/gateway-api/pkg/features"
)

// supportedFeatures lists what is served, in alphabetical order, as GatewayClassStatus.SupportedFeatures demands.
func supportedFeatures() []features.FeatureName {
	list := []features.FeatureName{
		features.SupportBackendTLSPolicy,
		features.SupportBackendTLSPolicySANValidation,
		features.SupportClusterTrustBundle,

		features.SupportGateway,
		features.SupportGatewayBackendClientCertificate,
		features.SupportGatewayAddressEmpty,
		features.SupportGatewayAddressRoutability,
		features.SupportGatewayFrontendClientCertificateValidation,
		features.SupportGatewayFrontendClientCertificateValidationInsecureFallback,
		features.SupportGatewayHTTPListenerIsolation,
		features.SupportGatewayHTTPSListenerDetectMisdirectedRequests,
		features.SupportGatewayInfrastructure,
		features.SupportGatewayPort8080,
		features.SupportGatewayRouteHostnameIntersectionPrecedence,
		features.SupportGatewayStaticAddresses,

		features.SupportReferenceGrant,
		features.SupportListenerSet,

		features.SupportGRPCRoute,
		features.SupportGRPCRouteNamedRouteRule,
		features.SupportGRPCRouteRequestHeaderModifier,

		features.SupportTCPRoute,

		features.SupportUDPRoute,

		features.SupportTLSRoute,
		features.SupportTLSRouteModeMixed,
		features.SupportTLSRouteModeTerminate,
	}
	list = append(list, httpRouteFeatures()...)
	slices.Sort(list)
	return list
}

// httpRouteFeatures are those of HTTPRoutes.
func httpRouteFeatures() []features.FeatureName {
	return []features.FeatureName{
		features.SupportHTTPRoute,
		features.SupportHTTPRoute303RedirectStatusCode,
		features.SupportHTTPRoute307RedirectStatusCode,
		features.SupportHTTPRoute308RedirectStatusCode,
		features.SupportHTTPRouteBackendProtocolH2C,
		features.SupportHTTPRouteBackendProtocolWebSocket,
		features.SupportHTTPRouteBackendRequestHeaderModification,
		features.SupportHTTPRouteBackendTimeout,
		features.SupportHTTPRouteBackendURLRewrite,
		features.SupportHTTPRouteCORS,
		features.SupportHTTPRouteDestinationPortMatching,
		features.SupportHTTPRouteHostRewrite,
		features.SupportHTTPRouteMethodMatching,
		features.SupportHTTPRouteNamedRouteRule,
		features.SupportHTTPRouteParentRefPort,
		features.SupportHTTPRoutePathRedirect,
		features.SupportHTTPRoutePathRewrite,
		features.SupportHTTPRoutePortRedirect,
		features.SupportHTTPRouteQueryParamMatching,
		features.SupportHTTPRouteRequestMirror,
		features.SupportHTTPRouteRequestMultipleMirrors,
		features.SupportHTTPRouteRequestPercentageMirror,
		features.SupportHTTPRouteRequestTimeout,
		features.SupportHTTPRouteResponseHeaderModification,
		features.SupportHTTPRouteRetryCodes,
		features.SupportHTTPRouteRetryConnectionError,
		features.SupportHTTPRouteSchemeRedirect,
	}
}
