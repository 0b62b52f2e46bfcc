//go:build !linux

package datagram

import "net"

func (*Server) transport(k *Socket) (transport, error) { return newPortable(k), nil }

// bufferDrops is not known.
func bufferDrops(*net.UDPConn) (uint32, bool) { return 0, false }
