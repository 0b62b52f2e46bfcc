// Command caddy is Caddy with its standard modules: the peer of the HTTP/3 rows, which stands on the same QUIC.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // what a Caddyfile may name
)

func main() { caddycmd.Main() }
