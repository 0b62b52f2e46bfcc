// The official conformance suite against the shipped binary: `make conformance`, or `make conformance RUN=ShortName` for one test.

package conformance

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	xv1alpha1 "sigs.k8s.io/gateway-api/apisx/v1alpha1"
	"sigs.k8s.io/gateway-api/conformance"
	confv1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/utils/config"
	"sigs.k8s.io/gateway-api/conformance/utils/flags"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/yaml"

	"github.com/wicketgate/wicketgate/conformance/apiserver"
	"github.com/wicketgate/wicketgate/conformance/pods"
	"github.com/wicketgate/wicketgate/conformance/wicketgate"
)

var (
	mutants = flag.Bool("mutants", false, "test that the suite notices what is wrong with a gateway: see mutants_test.go")
	program = flag.String("program", "", "the wicketgate binary to test; without it the suite is not run")
	version = flag.String("program-version", "", "the version that the report names")
)

const gatewayClass = "wicketgate"

func TestConformance(t *testing.T) {
	if *program == "" {
		t.Skip("no -program given: use make conformance")
	}
	ctrllog.SetLogger(zap.New(zap.WriteTo(os.Stdout), zap.UseDevMode(true)))
	cluster := startCluster(t)
	cluster.createClass(t)

	opts := suite.ConformanceOptions{
		GatewayClassName:     gatewayClass,
		CleanupBaseResources: true, CleanupTestResources: true,
		TimeoutConfig:       config.DefaultTimeoutConfig(),
		ConformanceProfiles: cluster.claimed(t),
		Implementation: confv1.Implementation{
			Organization: "wicketgate", Project: "wicketgate", URL: "https://github.com/wicketgate/wicketgate",
			Version: *version, Contact: []string{"https://github.com/wicketgate/wicketgate/issues"},
		},
		UsableNetworkAddresses:   []gatewayv1.GatewaySpecAddress{{Type: ptr.To(gatewayv1.IPAddressType), Value: "127.20.0.1"}},
		UnusableNetworkAddresses: []gatewayv1.GatewaySpecAddress{{Type: ptr.To(gatewayv1.IPAddressType), Value: "192.0.2.1"}},
		Client:                   cluster.client, Clientset: cluster.clientset, RestConfig: cluster.rest,
		ManifestFS: []fs.FS{&conformance.Manifests},
	}
	// The suite's default poll is made for clusters; everything else is its default.
	opts.TimeoutConfig.DefaultPollInterval = 20 * time.Millisecond
	if file := *flags.ConformanceOptionsFile; file != "" { // shorter timeouts while developing
		text, err := os.ReadFile(file)
		if err == nil {
			err = yaml.Unmarshal(text, &opts.ConfigurableOptions)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	flags.ApplyAll(&opts.ConfigurableOptions)
	if opts.ReportOutputPath != "" {
		t.Cleanup(func() { summarize(t, opts.ReportOutputPath, opts.ConformanceProfiles) }) // after the suite's own, which writes it
	}
	conformance.RunConformanceWithOptions(t, opts)
}

// cluster is all that stands in for Kubernetes, and the gateway under test.
type cluster struct {
	api       *apiserver.Server
	gateway   *wicketgate.Gateway
	pods      *pods.Cluster
	rest      *rest.Config
	client    client.Client
	clientset clientset.Interface
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	dir := t.TempDir()
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	must(err)

	c := &cluster{}
	c.api, err = apiserver.New(apiserver.Options{
		CRDs:    os.DirFS(filepath.Join(strings.TrimSpace(string(module)), "config/crd/experimental")),
		Changed: c.changed, Status: c.status, Extra: c.published,
		Logs: func(namespace, name string, since time.Time) (string, error) {
			return c.pods.Logs(namespace, name, since)
		},
	})
	must(err)
	out, err := os.Create(filepath.Join(os.TempDir(), "wicketgate-conformance.log"))
	must(err)
	t.Logf("the gateway's log: %s", out.Name())
	c.gateway, err = wicketgate.Start(ctx, *program, filepath.Join(dir, "config"), freeAddress(t), out, log,
		"--address-pool", "127.10.0.0/16", "--backend-dns=false")
	must(err)
	c.pods = pods.New(c.api, os.Getenv(echoProgram), dir, log)
	var working sync.WaitGroup
	working.Go(func() { c.pods.Run(ctx) })
	server := httptest.NewServer(c.api)
	t.Cleanup(func() {
		server.Close()
		cancel()
		working.Wait()
		c.gateway.Wait()
		_ = out.Close()
	})

	c.rest = &rest.Config{Host: server.URL, QPS: -1, ContentType: "application/json"}
	c.client, err = client.New(c.rest, client.Options{})
	must(err)
	must(gatewayv1.Install(c.client.Scheme()))
	must(xv1alpha1.Install(c.client.Scheme()))
	must(apiextensionsv1.AddToScheme(c.client.Scheme()))
	c.clientset, err = clientset.NewForConfig(c.rest)
	must(err)
	return c
}

// freeAddress finds an address that nobody listens on, with a port that the system gives to no outgoing connection: so nobody has it before it is used.
func freeAddress(t *testing.T) string {
	t.Helper()
	for i := range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+(os.Getpid()*131+i)%12_000))
		if err != nil {
			continue
		}
		_ = l.Close()
		return l.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
}

func (c *cluster) createClass(t *testing.T) {
	class := &gatewayv1.GatewayClass{}
	class.Name = gatewayClass
	class.Spec.ControllerName = "wicketgate.dev/gateway-controller"
	if err := c.client.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
}

// own are the kinds that are the cluster's alone: a gateway does not look at them.
var own = map[string]bool{"Pod": true, "Deployment": true, "ServiceAccount": true, "CustomResourceDefinition": true}

// changed passes a write on to the gateway's directory and to the controllers.
func (c *cluster) changed(_ context.Context, id apiserver.ID, o *unstructured.Unstructured) error {
	defer c.pods.Changed()
	if own[id.Resource.Kind] {
		return nil
	}
	name := id.Resource.Group + "/" + id.Resource.Kind + "/" + id.Namespace + "/" + id.Name
	if o == nil {
		return c.gateway.Remove(name)
	}
	return c.gateway.Write(name, o.Object)
}

// status is the gateway's: it is asked once it serves what has been written.
func (c *cluster) status(ctx context.Context, id apiserver.ID) (map[string]any, bool, error) {
	if !strings.HasPrefix(id.Resource.Group, "gateway.networking.") {
		return nil, false, nil
	}
	if err := c.gateway.Served(ctx); err != nil {
		return nil, false, err
	}
	o, err := c.gateway.Object(ctx, path(id.Resource, id.Namespace)+"/"+id.Name)
	if err != nil || o == nil {
		return nil, false, err
	}
	status, ok := o["status"].(map[string]any)
	return status, ok, nil
}

// published are the Services by which the gateway describes the sockets that it has opened for a Gateway.
func (c *cluster) published(ctx context.Context, r *apiserver.Resource, namespace string) ([]*unstructured.Unstructured, error) {
	if r.Kind != "Service" || r.Group != "" {
		return nil, nil
	}
	list, err := c.gateway.Object(ctx, path(r, namespace)+"?labelSelector=gateway.networking.k8s.io/gateway-name")
	if err != nil || list == nil {
		return nil, err
	}
	items, _ := list["items"].([]any)
	var services []*unstructured.Unstructured
	for _, i := range items {
		services = append(services, &unstructured.Unstructured{Object: i.(map[string]any)})
	}
	return services, nil
}

// path is a kind's REST path.
func path(r *apiserver.Resource, namespace string) string {
	p := "/apis/" + r.Group
	if r.Group == "" {
		p = "/api"
	}
	p += "/" + r.Versions[0]
	if r.Namespaced && namespace != "" {
		p += "/namespaces/" + namespace
	}
	return p + "/" + r.Plural
}
