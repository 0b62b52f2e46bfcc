//go:build linux

// Connections that have done something once and then do nothing: for measuring the memory that they occupy in the proxy.

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"
)

// hold opens the connections, says how many there are, and keeps them until in ends.
func hold(s settings, in io.Reader, out io.Writer) error {
	conns := make([]net.Conn, 0, s.conns)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range s.conns {
		c, err := open(s)
		if err != nil {
			return fmt.Errorf("connection %d: %w", len(conns)+1, err)
		}
		conns = append(conns, c)
	}
	fmt.Fprintln(out, len(conns))
	if _, err := io.Copy(io.Discard, in); err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	return nil
}

// open makes one connection of the wanted kind and has one exchange on it.
func open(s settings) (net.Conn, error) {
	c, err := dial(context.Background(), s.to.String())
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	switch s.over {
	case "plain":
		err = request(c, "bench.example.com")
	case "tls":
		config := clientConfig()
		config.ServerName = serverName(1)
		t := tls.Client(c, config)
		c, err = t, request(t, config.ServerName)
	case "h2c":
		err = exchange(c, newGET())
	case "websocket":
		err = exchange(c, &webSocket{})
	default:
		err = fmt.Errorf("unknown kind of connection %q", s.over)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// exchange drives a session by hand until its first request is answered.
func exchange(c net.Conn, s session) error {
	if _, err := c.Write(s.hello()); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	var e events
	buffer := make([]byte, 16<<10)
	for asked := false; len(e.done) == 0; {
		n, err := c.Read(buffer)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		out, err := s.receive(buffer[:n], nil, &e)
		if err != nil {
			return err
		}
		if e.ready && !asked {
			asked = true
			out = s.request(0, out)
		}
		if _, err := c.Write(out); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return nil
}
