// Package interop runs gRPC's own interoperability client and server through the gateway: the cases of
// https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md that concern what is on the wire.
//
// It is a module of its own so that gRPC stays out of the gateway's. The gateway is the program, built from this tree and started as
// anybody would start it:
//
//	interop client -h2c-> wicketgate run -h2c-> interop server
package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// failing is a logger whose fatal errors are panics: by them the cases of package interop fail.
type failing struct{ grpclog.LoggerV2 }

func (failing) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (failing) Fatalln(args ...any)               { panic(fmt.Sprintln(args...)) }
func (failing) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (failing) FatalDepth(_ int, args ...any)     { panic(fmt.Sprint(args...)) }

func (failing) InfoDepth(int, ...any)    {}
func (failing) WarningDepth(int, ...any) {}
func (failing) ErrorDepth(int, ...any)   {}

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(failing{grpclog.NewLoggerV2(io.Discard, io.Discard, os.Stderr)})
	os.Exit(m.Run())
}

const common = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: wicketgate
  addresses: [{type: IPAddress, value: 127.0.0.1}]
  listeners: [{name: http, port: %d, protocol: HTTP}]
---
apiVersion: v1
kind: Service
metadata: {name: interop}
spec: {ports: [{port: 8080%s}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: interop-1, labels: {kubernetes.io/service-name: interop}}
addressType: IPv4
ports: [{port: %d}]
endpoints: [{addresses: [127.0.0.1]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: %s
metadata: {name: interop}
spec:
  parentRefs: [{name: public}]
  rules: [{backendRefs: [{name: interop, port: 8080}]}]
`

// cases are those that neither credentials nor a balancer of the client's are needed for.
func cases(conn *grpc.ClientConn) map[string]func(ctx context.Context) {
	tc := testgrpc.NewTestServiceClient(conn)
	unary := func(f func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption), o ...grpc.CallOption) func(context.Context) {
		return func(ctx context.Context) { f(ctx, tc, o...) }
	}
	return map[string]func(context.Context){
		"empty_unary":                 unary(interop.DoEmptyUnaryCall),
		"large_unary":                 unary(interop.DoLargeUnaryCall),
		"large_unary, compressed":     unary(interop.DoLargeUnaryCall, grpc.UseCompressor(gzip.Name)),
		"client_streaming":            unary(interop.DoClientStreaming),
		"client_streaming compressed": unary(interop.DoClientStreaming, grpc.UseCompressor(gzip.Name)),
		"server_streaming":            unary(interop.DoServerStreaming),
		"ping_pong":                   unary(interop.DoPingPong),
		"ping_pong compressed":        unary(interop.DoPingPong, grpc.UseCompressor(gzip.Name)),
		"empty_stream":                unary(interop.DoEmptyStream),
		"timeout_on_sleeping_server":  unary(interop.DoTimeoutOnSleepingServer),
		"cancel_after_begin":          unary(interop.DoCancelAfterBegin),
		"cancel_after_first_response": unary(interop.DoCancelAfterFirstResponse),
		"status_code_and_message":     unary(interop.DoStatusCodeAndMessage),
		"special_status_message":      unary(interop.DoSpecialStatusMessage),
		"custom_metadata":             unary(interop.DoCustomMetadata),
		"unimplemented_method":        func(ctx context.Context) { interop.DoUnimplementedMethod(ctx, conn) },
		"unimplemented_service": func(ctx context.Context) {
			interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
		},
	}
}

func TestInterop(t *testing.T) {
	program := build(t)
	server := serve(t)
	for _, via := range []struct{ kind, appProtocol string }{{"HTTPRoute", ", appProtocol: kubernetes.io/h2c"}, {"GRPCRoute", ""}} {
		t.Run(via.kind, func(t *testing.T) {
			port := free(t)
			start(t, program, fmt.Sprintf(common, port, via.appProtocol, server, via.kind))
			conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", port), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for name, run := range cases(conn) {
				t.Run(name, func(t *testing.T) { attempt(t, run) })
			}
			t.Run("all at once", func(t *testing.T) {
				var wg sync.WaitGroup
				for range 20 {
					for _, run := range cases(conn) {
						wg.Go(func() { attempt(t, run) })
					}
				}
				wg.Wait()
			})
		})
	}
}

// A server that is stopped gracefully loses no call: what it had not begun is begun elsewhere.
func TestServersComeAndGo(t *testing.T) {
	program, port := build(t), free(t)
	own := free(t)
	start(t, program, fmt.Sprintf(common, port, ", appProtocol: kubernetes.io/h2c", own, "HTTPRoute"))
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tc := testgrpc.NewTestServiceClient(conn)
	listen := func() *grpc.Server {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", own))
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
		go s.Serve(ln)
		return s
	}
	s := listen()
	for range 5 {
		for range 50 {
			if _, err := tc.EmptyCall(t.Context(), &testgrpc.Empty{}); err != nil {
				t.Errorf("a call of a server that is there: %v", err)
			}
		}
		s.GracefulStop()
		if _, err := tc.EmptyCall(t.Context(), &testgrpc.Empty{}); status.Code(err) != codes.Unavailable {
			t.Errorf("a call while there is no server: %v", err)
		}
		s = listen()
		// The endpoint that refused connections is left out for a second; a single one is tried all the same.
		if _, err := tc.EmptyCall(t.Context(), &testgrpc.Empty{}); err != nil {
			t.Errorf("a call once there is a server again: %v", err)
		}
	}
	s.Stop()
}

// attempt runs a case.
func attempt(t *testing.T, run func(ctx context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			t.Error(v)
		}
	}()
	run(ctx)
}

// build makes the program.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "wicketgate")
	c := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	c.Dir = filepath.Join("..", "..")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// serve runs the interop server and returns its port.
func serve(t *testing.T) int {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	go s.Serve(ln)
	t.Cleanup(s.Stop)
	return ln.Addr().(*net.TCPAddr).Port
}

// given counts the ports that free has given.
var given atomic.Int32

// free finds a port that nobody listens on, that was not given before, and that the system gives to no outgoing connection: so nobody has it
// before it is used.
func free(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 20_000 + (os.Getpid()*131+int(given.Add(1)))%12_000
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		c, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		_ = c.Close()
		return port
	}
	t.Fatal("no port is free")
	return 0
}

// start runs the gateway with a configuration and waits until it serves.
func start(t *testing.T, program, yaml string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "interop.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := fmt.Sprintf("127.0.0.1:%d", free(t))
	var log strings.Builder
	c := exec.Command(program, "run", "--config", dir, "--admin", admin, "--state-dir", t.TempDir())
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		late := time.AfterFunc(time.Minute, func() {
			t.Error("the gateway does not stop")
			_ = c.Process.Signal(syscall.SIGQUIT) // and says where it hangs
		})
		err := c.Wait()
		late.Stop()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
	}
	t.Fatal("the gateway is not ready")
}
