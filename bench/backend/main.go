//go:build linux

// Command backend answers HTTP/1.1 requests with a fixed body, at less cost than any proxy that could stand before it: so that what
// a benchmark on few cores measures is the proxy. It is one thread around one epoll descriptor, with raw system calls and
// answers made beforehand.
//
// It is no HTTP server: it takes every CRLF CRLF for the end of a request without a body, and "/64k" in the request line for a
// wish for 64 KiB instead of 128 bytes.
package main

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: backend ADDRESS:PORT")
		os.Exit(2)
	}
	addr, err := netip.ParseAddrPort(os.Args[1])
	if err == nil {
		runtime.LockOSThread()
		err = serve(addr)
	}
	fmt.Fprintln(os.Stderr, "backend:", err)
	os.Exit(1)
}
