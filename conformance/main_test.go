// What comes before the suite: the echo program, and a network in which its ports are free.

package conformance

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/wicketgate/wicketgate/conformance/pods"
)

// What one run of this program tells the one that it starts.
const (
	ownNetwork  = "CONFORMANCE_OWN_NETWORK"
	echoProgram = "CONFORMANCE_ECHO"
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if *program == "" && !*mutants {
		return m.Run(), nil
	}
	if os.Getenv(ownNetwork) != "" {
		if err := loopbackUp(); err != nil {
			return 0, fmt.Errorf("bring up the loopback interface: %w", err)
		}
		return m.Run(), nil
	}
	// The echo program is built here, where modules can be downloaded.
	if os.Getenv(echoProgram) == "" {
		dir, err := os.MkdirTemp("", "conformance-*")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		echo, err := pods.Build(context.Background(), dir)
		if err != nil {
			return 0, err
		}
		if err := os.Setenv(echoProgram, echo); err != nil {
			return 0, err
		}
	}
	if *mutants {
		return m.Run(), nil // each has a network of its own
	}
	if code, ok := runIsolated(); ok {
		return code, nil
	}
	if err := portsAreFree(); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// portsAreFree says why the machine's network will not do.
func portsAreFree() error {
	for _, port := range []int{80, 443, 8080, 8090, 8443, 6443, 7443, 8883} {
		l, err := net.Listen("tcp", "127.10.0.1:"+strconv.Itoa(port))
		switch {
		case errors.Is(err, syscall.EACCES):
			return fmt.Errorf("the suite listens on port %d, and this user may not, nor make a network namespace: run it as root, "+
				"or set net.ipv4.ip_unprivileged_port_start=0", port)
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("the suite listens on port %d of loopback addresses, and something else has it on all of them: stop that, or run the suite as root on Linux, "+
				"where it gets a network of its own", port)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return errors.New("the suite needs the addresses 127.0.0.0/8: this system has only 127.0.0.1")
		case err != nil:
			return err
		}
		_ = l.Close()
	}
	return nil
}
