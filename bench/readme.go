//go:build linux

// The README's table: some rows of the report under names that say more.

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// readmeHead is the head of the README's table, by which it is found.
const readmeHead = "| | haproxy | Wicketgate |\n|---|---|---|\n"

// readmeRows are the README's rows, in its order.
func readmeRows() []struct{ name, title string } {
	return []struct{ name, title string }{
		{"h1-small", "HTTP/1.1, 128 bytes, 64 connections"},
		{"h1-64k", "HTTP/1.1, 64 KiB"},
		{"h1-upload", "HTTP/1.1, uploads of 1 MiB"},
		{"https-small", "HTTPS, 128 bytes"},
		{"tls-full", "TLS handshakes"},
		{"h2-32x10", "HTTP/2 over TLS, 32 connections, 10 streams"},
		{"h2-128x1", "HTTP/2 over TLS, 128 connections, 1 stream"},
		{"grpc-unary", "gRPC, unary, fixed rate"},
		{"grpc-stream", "gRPC, server streaming"},
		{"websocket", "WebSocket"},
		{"h1-close", "a new connection for each request"},
		{"tcp-small", "TCP, 100 bytes there and back"},
		{"tcp-bulk", "TCP, bulk"},
		{"tls-passthrough", "TLS passthrough, bulk"},
		{"udp-8", "UDP, 100 flows, 8 datagrams in flight"},
		{"h3-64k", "HTTP/3, 64 KiB, against Caddy"},
	}
}

// readmeTable makes the README's table of the report's, which begins each line with a row's name. Rows that could not be measured are left out.
func readmeTable(report string) (string, error) {
	var b strings.Builder
	b.WriteString(readmeHead)
	_, ratios, _ := strings.Cut(report, "## All ratios\n")
	for _, r := range readmeRows() {
		_, line, _ := strings.Cut(ratios, "\n| "+r.name+" | ")
		line, _, _ = strings.Cut(line, "\n")
		if cells := strings.Split(line, " | "); len(cells) == 5 { // against, its CPU, haproxy, wicketgate, aim
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.title, cells[2], cells[3])
		}
	}
	if b.Len() == len(readmeHead) {
		return "", errors.New("the report has no ratios")
	}
	return b.String(), nil
}

// replaceTable puts a table into the place of the README's.
func replaceTable(readme, table string) (string, error) {
	before, after, found := strings.Cut(readme, readmeHead)
	if !found {
		return "", errors.New("the README has no table of results")
	}
	for strings.HasPrefix(after, "| ") {
		_, after, _ = strings.Cut(after, "\n")
	}
	return before + table + after, nil
}

// updateReadme shows a report's ratios in the README.
func updateReadme(path, report string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("show the results: %w", err)
	}
	table, err := readmeTable(report)
	if err != nil {
		return err
	}
	text, err := replaceTable(string(old), table)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("show the results: %w", err)
	}
	return nil
}
