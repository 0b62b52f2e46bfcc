//go:build !linux

// Elsewhere than on Linux package net sets keep-alive probes on each connection, and who holds a port is not known.

package listeners

import (
	"net"
	"net/netip"
	"syscall"
	"time"
)

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 3}

func control(string, string, syscall.RawConn) error { return nil }

func packetControl(string, string, syscall.RawConn) error { return nil }

func owner(netip.AddrPort, bool) string { return "" }
