//go:build linux

// Command backend answers whatever a row of the benchmark sends to it, at less cost than any proxy that could stand before it: so
// that what a benchmark on few cores measures is the proxy. It is one thread around one epoll descriptor, with raw system
// calls and answers made beforehand.
//
//	http     GET / has 128 bytes for an answer, /64k 64 KiB, /10m 10 MiB; bodies are taken and thrown away; an Upgrade becomes an echo
//	slow     the same, with a pause after each read
//	echo     every byte comes back
//	large    every 100 bytes are answered with 64 KiB
//	source   the first bytes are answered with bytes without end
//	grpc     h2c: every call has a message of 128 bytes for an answer
//	stream   the same with 100 messages
//	udp      every datagram comes back
//
// None of them is a server that one could use: they take for granted what the load generators send.
package main

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: backend http|slow|echo|large|source|grpc|stream|udp ADDRESS:PORT")
		os.Exit(2)
	}
	runtime.LockOSThread()
	fmt.Fprintln(os.Stderr, "backend:", run(os.Args[1], os.Args[2]))
	os.Exit(1)
}

// run serves until something that it needs fails.
func run(protocol, address string) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("the address to listen on: %w", err)
	}
	makers := map[string]func() session{
		"http":   newHTTP(),
		"slow":   newSlow(),
		"echo":   func() session { return echo{} },
		"large":  newLarge(),
		"source": newSource(),
		"grpc":   newGRPC(1),
		"stream": newGRPC(100),
	}
	if protocol == "udp" {
		return serveDatagrams(addr)
	}
	if makers[protocol] == nil {
		return fmt.Errorf("unknown protocol %q", protocol)
	}
	return serve(addr, makers[protocol])
}
