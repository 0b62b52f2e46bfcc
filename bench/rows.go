//go:build linux

// The rows of the report: one workload each.

package main

// row is one workload.
type row struct {
	Name  string
	About string  // the load, in words
	Unit  string  // what counts: request by default
	Aim   float64 // the ratio to the reference that is aimed at, 0 for none

	Kind    string // of the configurations in peers/: http, websocket, grpc, tcp, passthrough, udp, h3
	TLS, H2 bool   // towards clients
	Backend string // its protocol
	Load    load
	Share   float64 // the load is open, at this share of what the reference can do
	Pinned  bool    // proxy on CPU 0, load and backend on CPU 1

	Peers []peer                            // nil for nginx, haproxy and the gateway; the first is the reference of the ratios
	Run   func(*bench, row) (result, error) // what is not measured in rounds of load
}

// rows lists everything that is measured, in the report's order.
func rows() []row {
	list := httpRows()
	list = append(list, secureRows()...)
	list = append(list, streamRows()...)
	list = append(list, h3Rows()...)
	list = append(list, scaleRows()...)
	return append(list, idleRows()...)
}

// both is a row pinned, and the same without.
func both(r row) []row {
	pinned, free := r, r
	pinned.Pinned = true
	free.Name += "-unpinned"
	return []row{pinned, free}
}

// pinned sets what rows have in common that are measured pinned only.
func pinned(list ...row) []row {
	for i := range list {
		list[i].Pinned = true
	}
	return list
}

func httpRows() []row {
	h1 := func(name, about string, aim float64, l load) row {
		return row{Name: name, About: about, Aim: aim, Kind: "http", Backend: "http", Load: l}
	}
	own := func(protocol string, conns int) load {
		return load{Tool: ownTool, Protocol: protocol, Conns: conns, Streams: 1}
	}
	closing := load{Tool: wrkTool, Conns: 64, Path: "/", Header: "Connection: close"}

	list := both(h1("h1-small", "GET, 128 bytes, 64 kept-alive connections", 0.90, load{Tool: wrkTool, Conns: 64, Path: "/"}))
	list = append(list, pinned(
		h1("h1-small-1", "GET, 128 bytes, 1 kept-alive connection", 0, load{Tool: wrkTool, Conns: 1, Path: "/"}),
		h1("h1-small-4", "GET, 128 bytes, 4 kept-alive connections", 0, load{Tool: wrkTool, Conns: 4, Path: "/"}),
		h1("h1-small-1000", "GET, 128 bytes, 1,000 kept-alive connections", 0, load{Tool: wrkTool, Conns: 1000, Path: "/"}),
	)...)
	list = append(list, both(h1("h1-64k", "GET, 64 KiB, 64 kept-alive connections", 0.80, load{Tool: wrkTool, Conns: 64, Path: "/64k"}))...)
	list = append(list, pinned(
		h1("h1-upload", "POST of 1 MiB, 16 kept-alive connections", 0.90, own("upload", 16)),
		h1("h1-close", "GET, 128 bytes, a new TCP connection for each of 64 at a time", 1.0, closing),
		row{
			Name: "websocket", About: "128 bytes there and back, 64 WebSocket connections", Unit: "message", Aim: 0.90,
			Kind: "websocket", Backend: "http", Load: own("websocket", 64),
		},
	)...)
	for _, share := range []struct {
		name  string
		share float64
	}{{"30", 0.3}, {"70", 0.7}} {
		r := h1("open-"+share.name, "GET, 128 bytes, open load at "+share.name+"% of what nginx can do, 64 connections", 0, own("get", 64))
		r.Share, r.Pinned = share.share, true
		list = append(list, r)
	}
	return append(list, fairRow(), uploadRow())
}

func secureRows() []row {
	secure := func(name, about string, aim float64, l load) row {
		return row{Name: name, About: about, Aim: aim, Kind: "http", TLS: true, Backend: "http", Load: l}
	}
	handshake := func(resume bool) load {
		return load{Tool: ownTool, Protocol: "handshake", Conns: 8, Streams: 1, Resume: resume}
	}
	h2 := func(conns, streams int) load {
		return load{Tool: h2loadTool, Conns: conns, Streams: streams, Path: "/"}
	}

	list := both(secure("https-small", "GET over TLS 1.3 with AES-128-GCM, 128 bytes, 64 kept-alive connections", 0.85,
		load{Tool: wrkTool, Conns: 64, Path: "/"}))
	full := secure("tls-full", "TLS 1.3 handshakes (X25519, ECDSA P-256), one request each", 1.0, handshake(false))
	resumed := secure("tls-resumed", "the same with resumed sessions", 1.0, handshake(true))
	full.Unit, resumed.Unit = "handshake", "handshake"
	list = append(list, pinned(full, resumed)...)
	list = append(list, both(secure("h2-32x10", "HTTP/2 over TLS, GET, 128 bytes, 32 connections with 10 streams each", 0.60, h2(32, 10)))...)
	list = append(list, pinned(secure("h2-128x1", "HTTP/2 over TLS, GET, 128 bytes, 128 connections with 1 stream each", 0.95, h2(128, 1)))...)

	unary := row{
		Name: "grpc-unary", About: "gRPC over h2c, unary, 128 bytes, 4 connections with 16 streams each, 6,400 calls/s", Unit: "call", Aim: 0.35,
		Kind: "grpc", H2: true, Backend: "grpc", Load: load{Tool: ownTool, Protocol: "grpc", Conns: 4, Streams: 16, Rate: 6400},
	}
	list = append(list, both(unary)...)
	closed := unary
	closed.Name, closed.About, closed.Aim = "grpc-unary-closed", "gRPC over h2c, unary, 128 bytes, 4 connections with 16 streams each, as fast as they are answered", 0
	closed.Load.Rate = 0
	list = append(list, both(closed)...)
	stream := unary
	stream.Name, stream.About, stream.Unit, stream.Aim = "grpc-stream", "gRPC over h2c, server streaming, 100 messages of 128 bytes a call, 4 connections with 4 streams each", "message", 0.5
	stream.Backend, stream.Load = "stream", load{Tool: ownTool, Protocol: "stream", Conns: 4, Streams: 4}
	return append(list, pinned(stream)...)
}

func streamRows() []row {
	tcp := func(name, about, unit, backend string, aim float64, l load) row {
		l.Tool, l.Streams = ownTool, 1
		return row{Name: name, About: about, Unit: unit, Aim: aim, Kind: "tcp", Backend: backend, Load: l}
	}
	list := both(tcp("tcp-small", "TCP, 100 bytes there and back, 64 connections", "round trip", "echo", 1.05, load{Protocol: "ping", Conns: 64}))
	list = append(list, both(tcp("tcp-bulk", "TCP, bytes without end, 4 connections", "MiB", "source", 0.65, load{Protocol: "source", Conns: 4}))...)
	pass := tcp("tls-passthrough", "TLS passed through by server name, bytes without end, 4 connections", "MiB", "source", 0.65,
		load{Protocol: "passthrough", Conns: 4})
	pass.Kind = "passthrough"
	list = append(list, pinned(
		tcp("tcp-64k", "TCP, 100 bytes answered with 64 KiB, 64 connections", "answer", "large", 1.0, load{Protocol: "large", Conns: 64}),
		tcp("tcp-connect", "TCP, connect, 100 bytes there and back, close, 64 at a time", "connection", "echo", 0, load{Protocol: "connect", Conns: 64}),
		pass,
	)...)
	for _, w := range []struct {
		name    string
		streams int
	}{{"udp-1", 1}, {"udp-8", 8}} {
		list = append(list, row{
			Name: w.name, Unit: "datagram", Aim: 0.75, Kind: "udp", Backend: "udp", Pinned: true,
			About: "UDP, 64 bytes there and back, 100 flows with " + w.name[len("udp-"):] + " in flight each",
			Load:  load{Tool: ownTool, Protocol: "udp", Conns: 100, Streams: w.streams},
		})
	}
	return list
}

func h3Rows() []row {
	h3 := func(name, about, path string, conns, streams int) row {
		return row{
			Name: name, About: about, Aim: 0.6, Kind: "h3", TLS: true, Backend: "http", Pinned: true,
			Load: load{Tool: h3Tool, Path: path, Conns: conns, Streams: streams}, Peers: []peer{caddy(), gateway()},
		}
	}
	return []row{
		h3("h3-small", "HTTP/3, GET, 128 bytes, 8 connections with 8 streams each", "/", 8, 8),
		h3("h3-64k", "HTTP/3, GET, 64 KiB, 8 connections with 4 streams each", "/64k", 8, 4),
		h3("h3-10m", "HTTP/3, GET, 10 MiB, 2 connections with 1 stream each", "/10m", 2, 1),
	}
}
