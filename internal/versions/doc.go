// Package versions tests that what a client says by HTTP/1, HTTP/2 or HTTP/3 reaches the backend as one and the same request, and that what is
// refused in one version is refused in the others: through the three wires and the proxy, over real connections.
package versions
