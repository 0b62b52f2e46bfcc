// Bounds on what a backend can make us hold or do.

package h2

import "time"

const (
	// maxInterim is how many interim responses a request may get.
	maxInterim = 64

	// maxBackendStreams is how many streams a connection gets, however many the backend would take: another connection spreads the load
	// better than a longer queue.
	maxBackendStreams = 256
	// maxStreamID is the highest number of a stream: after it a connection takes no more.
	maxStreamID = 1<<31 - 1

	// streamWindow is how much of a response a backend may send ahead of the client. It doubles up to maxStreamWindow while the client keeps up.
	streamWindow    = 128 << 10
	maxStreamWindow = 1 << 20
	// connWindow is the connection's, granted again as bytes arrive: it bounds what is on the way, not what is held.
	connWindow = 16 << 20

	// maxQueued is how much of requests' bodies is gathered for the socket, and maxOwed of answers to what the backend sends.
	maxQueued = 256 << 10
	maxOwed   = 1 << 20
	// maxQuiet is how many frames in a second may bring nothing: SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA.
	maxQuiet = 10_000

	// backendTick is the grain of the times that follow, which are counted in ticks.
	backendTick = time.Second
	// pingAfter is how long a backend may be silent with requests under way before it is asked whether it is there, and pingPatience how long
	// it may take to say so. It is asked once; again only when a stream has got something, or after pingAgain: gRPC servers
	// end connections that ask more often.
	pingAfter    = 10
	pingPatience = 10
	pingAgain    = 360

	// dismissTime is how long the last write of a connection may take.
	dismissTime = 100 * time.Millisecond
)
