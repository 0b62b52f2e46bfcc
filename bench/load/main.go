//go:build linux

// Command load is the benchmark's own load, for what wrk and h2load do not do: one protocol, some connections, one window of time, and what
// came of it as JSON on standard output.
//
// Without -rate every connection (with -streams, every stream) asks again as soon as it was answered. With -rate the load is open: requests fall
// due at a constant rate whatever becomes of earlier ones, and latency counts from when a request was due, so that a proxy that
// stalls is not spared the requests that it kept waiting.
//
//	get, get64k    HTTP/1.1 GET / and /64k; route: /r0    upload     POST of 1 MiB
//	bulk           the same, answered with 10 MiB
//	h2c            GET / over HTTP/2 without TLS
//	websocket      128 bytes there and back               grpc       unary calls; an answer counts
//	ping, large    100 bytes for 100 bytes or 64 KiB      stream     server streaming; a message counts
//	source         bytes without end; a MiB counts        connect    connect, 100 bytes there and back, close
//	passthrough    the same after a ClientHello           udp        datagrams of 64 bytes, -streams in flight on each socket
//	handshake      TLS handshake, one request, close; -resume for resumed ones, -names for how many server names
//	hold           one request on each connection, which then stays open until standard input ends; -over plain, tls, h2c or websocket
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"time"
)

// settings are the command's flags.
type settings struct {
	protocol string
	to       netip.AddrPort
	conns    int
	streams  int
	rate     float64
	window   time.Duration
	resume   bool
	names    int
	over     string
}

// Result is what a window of load showed.
type Result struct {
	Requests  int           `json:"requests"`
	PerSecond float64       `json:"perSecond"`
	P50       time.Duration `json:"p50"`
	P99       time.Duration `json:"p99"`
	P999      time.Duration `json:"p999"`
	Errors    int           `json:"errors"`
	Lost      int           `json:"lost"`
	LastError string        `json:"lastError,omitempty"`
}

func main() {
	var s settings
	var to string
	flag.StringVar(&s.protocol, "protocol", "get", "what to do")
	flag.StringVar(&to, "to", "", "address and port of the proxy")
	flag.IntVar(&s.conns, "conns", 64, "connections")
	flag.IntVar(&s.streams, "streams", 1, "requests in flight on each connection (grpc, stream, udp)")
	flag.Float64Var(&s.rate, "rate", 0, "requests a second, 0 for as many as are answered")
	flag.DurationVar(&s.window, "for", time.Second, "how long")
	flag.BoolVar(&s.resume, "resume", false, "resume TLS sessions")
	flag.IntVar(&s.names, "names", 1, "how many server names to ask for")
	flag.StringVar(&s.over, "over", "plain", "what kind of connections to hold")
	flag.Parse()

	addr, err := netip.ParseAddrPort(to)
	if err == nil {
		s.to = addr
		err = run(s, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run does what the settings say and writes the result.
func run(s settings, in io.Reader, out io.Writer) error {
	var r Result
	var err error
	switch {
	case s.protocol == "handshake":
		r, err = handshakes(s)
	case s.protocol == "hold":
		return hold(s, in, out)
	case s.protocol == "udp":
		runtime.LockOSThread()
		r, err = datagrams(s)
	case protocols[s.protocol] == nil:
		err = fmt.Errorf("unknown protocol %q", s.protocol)
	default:
		runtime.LockOSThread()
		r, err = drive(s, protocols[s.protocol])
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(r); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}
