// Which profiles are run, and what came of them.

package conformance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	confv1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
	"sigs.k8s.io/yaml"
)

// profiles are run if the gateway claims the feature that each is about.
var profiles = []struct {
	feature features.FeatureName
	name    suite.ConformanceProfileName
}{
	{features.SupportHTTPRoute, suite.GatewayHTTPConformanceProfileName},
	{features.SupportGRPCRoute, suite.GatewayGRPCConformanceProfileName},
	{features.SupportTLSRoute, suite.GatewayTLSConformanceProfileName},
	{features.SupportTCPRoute, suite.GatewayTCPConformanceProfileName},
	{features.SupportUDPRoute, suite.GatewayUDPConformanceProfileName},
}

// claimed reads in the GatewayClass's status what the gateway says of itself.
func (c *cluster) claimed(t *testing.T) (list []suite.ConformanceProfileName) {
	t.Helper()
	class := &gatewayv1.GatewayClass{}
	for end := time.Now().Add(30 * time.Second); len(class.Status.SupportedFeatures) == 0; time.Sleep(20 * time.Millisecond) {
		if err := c.client.Get(t.Context(), client.ObjectKey{Name: gatewayClass}, class); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatal("the GatewayClass's status claims no features")
		}
	}
	have := sets.New[features.FeatureName]()
	for _, f := range class.Status.SupportedFeatures {
		have.Insert(features.FeatureName(f.Name))
	}
	for _, p := range profiles {
		if have.Has(p.feature) {
			list = append(list, p.name)
		}
	}
	return list
}

// summarize prints a line for each profile of the report that the suite wrote.
func summarize(t *testing.T, path string, run []suite.ConformanceProfileName) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	var report confv1.ConformanceReport
	if err := yaml.Unmarshal(text, &report); err != nil {
		t.Error(err)
		return
	}
	fmt.Printf("%-14s %8s %8s %8s\n", "profile", "passed", "failed", "skipped")
	slices.SortFunc(report.ProfileReports, func(a, b confv1.ProfileReport) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range report.ProfileReports {
		sum := p.Core.Statistics
		if p.Extended != nil {
			sum.Passed += p.Extended.Statistics.Passed
			sum.Failed += p.Extended.Statistics.Failed
			sum.Skipped += p.Extended.Statistics.Skipped
		}
		fmt.Printf("%-14s %8d %8d %8d\n", p.Name, sum.Passed, sum.Failed, sum.Skipped)
	}
	for _, p := range profiles {
		if !slices.Contains(run, p.name) {
			fmt.Printf("%-14s not claimed\n", p.name)
		}
	}
}
