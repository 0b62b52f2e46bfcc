// Load of every protocol while the configuration changes: nothing fails.

package cli

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// loaded is what the configurations under load have in common.
type loaded struct {
	plain, secure, extra, db int   // ports of listeners; extra comes and goes
	dns, game                int   // and of UDP: endpoints of the first are replaced, the second is left alone
	backends                 []int // ports; all answer "fine"
	streams                  []int // ports of backends that greet with "hi" and send everything back
	packets                  []int // ports of endpoints that send datagrams back; the last one is the game's
	tunnels                  int   // port of a backend for WebSockets that sends everything back
	cert, key                []byte
}

func newLoaded(t *testing.T) *loaded {
	l := &loaded{plain: freePort(t), secure: freePort(t), extra: freePort(t), db: freePort(t), dns: freePort(t), game: freePort(t)}
	for range 3 {
		l.backends = append(l.backends, newBackend(t, saying("fine")))
	}
	for range 2 {
		l.streams = append(l.streams, tcpBackend(t, "hi", nil))
	}
	for range 3 {
		l.packets = append(l.packets, startSource(t))
	}
	l.tunnels = newBackend(t, websocket.Server{Handler: func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) }}.ServeHTTP)
	l.cert, l.key = certificate(t, time.Now().Add(24*time.Hour), "shop.test")
	return l
}

// config is a configuration that is different at every turn and always answers every request: routes, backends and a listener come and
// go, and the HTTPS certificate's Secret changes.
func (l *loaded) config(turn int) map[string]string {
	gateway := gatewayYAML(l.plain) + fmt.Sprintf("  - {name: secure, port: %d, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}\n"+
		"  - {name: db, port: %d, protocol: TCP}\n  - {name: dns, port: %d, protocol: UDP}\n  - {name: game, port: %d, protocol: UDP}\n",
		l.secure, l.db, l.dns, l.game)
	if turn%2 == 1 {
		gateway += fmt.Sprintf("  - {name: extra, port: %d, protocol: HTTP}\n", l.extra)
	}
	stream := fmt.Sprintf("db%d", turn%2)
	files := map[string]string{
		"gateway.yaml": gateway,
		"main.yaml":    routeYAML("main", "/", l.backends[turn%len(l.backends)]),
		"ws.yaml":      routeYAML("ws", "/ws", l.tunnels),
		"db.yaml":      streamRouteYAML("TCPRoute", "db", "db", "", stream) + "---\n" + serviceYAML(stream, l.streams[turn%2]),
		"dns.yaml":     packetRouteYAML(l.packets[turn%2]),
		"game.yaml":    strings.ReplaceAll(packetRouteYAML(l.packets[2]), "dns", "game"),
		"cert.yaml":    strings.Replace(secretYAML("cert", l.cert, l.key), "{name: cert}", fmt.Sprintf("{name: cert, labels: {turn: t%d}}", turn), 1),
	}
	switch turn % 3 {
	case 0:
		files["more.yaml"] = routeYAML("more", fmt.Sprintf("/more/%d", turn), l.backends[(turn+1)%len(l.backends)])
	case 1:
		if turn > 0 {
			files["more.yaml"] = "" // it was there at the turn before
		}
	}
	return files
}

func TestNoRequestFailsWhileTheDirectoryChanges(t *testing.T) {
	for _, transport := range []string{"auto", "portable"} {
		t.Run(transport, func(t *testing.T) { swapUnderLoad(t, transport, 3*time.Second) })
	}
}

// TestToolsNoRequestFailsForMinutes is the same for two minutes, or as long as WICKETGATE_TEST_LOAD says ("30m").
func TestToolsNoRequestFailsForMinutes(t *testing.T) {
	if os.Getenv("WICKETGATE_TEST_TOOLS") == "" {
		t.Skip("it takes minutes: make test-all")
	}
	period := 2 * time.Minute
	if text := os.Getenv("WICKETGATE_TEST_LOAD"); text != "" {
		var err error
		if period, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	swapUnderLoad(t, "auto", period)
}

// protocols are HTTP/1.1 alone, or HTTP/2 alone.
func protocols(two bool) *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(!two)
	p.SetHTTP2(two)
	p.SetUnencryptedHTTP2(two)
	return p
}

// worker does one thing again and again; once says what is wrong with an answer.
type worker struct {
	name string
	once func() error
}

// workers are clients of every protocol: some keep their connection, some connect anew each time.
func (l *loaded) workers(t *testing.T) (list []worker) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(l.cert)
	add := func(name string, c *http.Client, url string) {
		t.Cleanup(c.CloseIdleConnections)
		list = append(list, worker{name, func() error { return fine(c, url) }})
	}
	plain, secure := at(l.plain, "/x"), fmt.Sprintf("https://127.0.0.1:%d/x", l.secure)
	for n := range 12 {
		c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			DisableKeepAlives: n%4 == 3,
			TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: "shop.test"},
			Protocols:         protocols(n >= 8),
		}}
		add(fmt.Sprintf("HTTP/%d", 1+n/8), c, []string{plain, secure}[n%2])
	}
	for range 2 {
		add("HTTP/3", threeClient(t, l.secure, &tls.Config{ServerName: "shop.test"}), secure)
	}
	for range 2 {
		list = append(list, worker{"UDP, a session each", l.datagram}, worker{"UDP, one session", asker(t, l.dns)})
	}
	return append(list, worker{"TCP", l.stream}, worker{"WebSocket", l.webSocket})
}

// fine asks for a URL and says what is wrong with the answer.
func fine(c *http.Client, url string) error {
	res, err := c.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || string(body) != "fine" {
		return fmt.Errorf("%s: %d %q %w", url, res.StatusCode, body, err)
	}
	return nil
}

// stream makes a connection to the TCP listener, sends something and reads all to the end.
func (l *loaded) stream() error {
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(l.db))
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, err = io.WriteString(c, "hello")
	all, readErr := []byte(nil), c.(*net.TCPConn).CloseWrite()
	if readErr == nil {
		all, readErr = io.ReadAll(c)
	}
	if err = errors.Join(err, readErr); err != nil || string(all) != "hi\nhello" {
		return fmt.Errorf("got %q: %w", all, err)
	}
	return nil
}

// startSource answers each datagram with it and where it came from, and returns its port.
func startSource(t *testing.T) int {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadBuffer(1 << 20)
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = c.WriteToUDPAddrPort(fmt.Appendf(nil, "%s from %s", buf[:n], from), from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// asker has one session on a UDP listener. Nothing is sent twice, so each call fails if a datagram is lost.
func asker(t *testing.T, port int) func() error {
	t.Helper()
	c, err := net.Dial("udp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	turn := 0
	return func() error {
		turn++
		_, err := askOnce(c, strconv.Itoa(turn))
		return err
	}
}

// askOnce sends a datagram and returns where its answer says that it came from.
func askOnce(c net.Conn, text string) (source string, err error) {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 100)
	_, err = io.WriteString(c, text)
	n, readErr := c.Read(buf)
	said, source, found := strings.Cut(string(buf[:n]), " from ")
	if err = errors.Join(err, readErr); err != nil || !found || said != text {
		return "", fmt.Errorf("%q is answered with %q: %w", text, buf[:n], err)
	}
	return source, nil
}

// datagram has a session of its own for one datagram.
func (l *loaded) datagram() error {
	c, err := net.Dial("udp", "127.0.0.1:"+strconv.Itoa(l.dns))
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = askOnce(c, "x")
	return err
}

// webSocket opens a WebSocket and says hello.
func (l *loaded) webSocket() error {
	ws, err := websocket.Dial(fmt.Sprintf("ws://127.0.0.1:%d/ws", l.plain), "", "http://shop.test/")
	if err != nil {
		return err
	}
	defer ws.Close()
	return hello(ws)
}

func hello(ws *websocket.Conn) error {
	_ = ws.SetDeadline(time.Now().Add(time.Minute))
	var answer string
	err := errors.Join(websocket.Message.Send(ws, "hello"), websocket.Message.Receive(ws, &answer))
	if err != nil || answer != "hello" {
		return fmt.Errorf("got %q: %w", answer, err)
	}
	return nil
}

// elders are connections and a session as old as the gateway, which every turn uses once.
type elders struct {
	http    *conversation
	ws      *websocket.Conn
	stream  net.Conn
	answer  *bufio.Reader
	session net.Conn
	source  string // where the gateway's datagrams of the session come from
}

func (l *loaded) elders(t *testing.T) *elders {
	ws, err := websocket.Dial(fmt.Sprintf("ws://127.0.0.1:%d/ws", l.plain), "", "http://shop.test/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	e := &elders{http: converse(t, l.plain), ws: ws, stream: dialPort(t, l.db)}
	e.answer = bufio.NewReader(e.stream)
	if got := line(t, e.answer); got != "hi" {
		t.Fatalf("greeted by %q", got)
	}
	if e.session, err = net.Dial("udp", "127.0.0.1:"+strconv.Itoa(l.game)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.session.Close() })
	if e.source, err = askOnce(e.session, "first"); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *elders) use(t *testing.T, turn int) {
	_ = e.http.c.SetDeadline(time.Now().Add(time.Minute))
	e.http.send("/x")
	if code, body, closes := e.http.receive(); code != http.StatusOK || body != "fine" || closes {
		t.Errorf("turn %d: the oldest connection: %d %q closes=%t", turn, code, body, closes)
	}
	if err := hello(e.ws); err != nil {
		t.Errorf("turn %d: the oldest WebSocket: %v", turn, err)
	}
	_ = e.stream.SetDeadline(time.Now().Add(time.Minute))
	_, _ = fmt.Fprintf(e.stream, "%d\n", turn)
	if got := line(t, e.answer); got != strconv.Itoa(turn) {
		t.Errorf("turn %d: the oldest stream: %q", turn, got)
	}
	if source, err := askOnce(e.session, strconv.Itoa(turn)); err != nil || source != e.source {
		t.Errorf("turn %d: the oldest session: its datagrams come from %s, not from %s: %v", turn, source, e.source, err)
	}
}

// comesAndGoes asks the listener that is there at every other turn.
func (l *loaded) comesAndGoes(t *testing.T, turn int) {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", l.extra))
	if (err == nil) != (turn%2 == 1) {
		t.Errorf("turn %d: the listener that comes and goes: %v", turn, err)
	}
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if text, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(text, []byte("HTTP/1.1 200")) {
		t.Errorf("turn %d: on it: %q %v", turn, text, err)
	}
}

func swapUnderLoad(t *testing.T, transport string, period time.Duration) {
	l := newLoaded(t)
	g := startGate(t, l.config(0), "--transport", transport)
	old := l.elders(t)
	stop := make(chan struct{})
	var load sync.WaitGroup
	workers := l.workers(t)
	done := make([]atomic.Int64, len(workers))
	for i, w := range workers {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := w.once(); err != nil {
					t.Errorf("%s: %v", w.name, err)
					return
				}
				done[i].Add(1)
			}
		})
	}
	turns := 0
	// Too little would prove nothing: a busy machine takes longer for it.
	enough := func() bool {
		for i := range done {
			if done[i].Load() < 3 {
				return false
			}
		}
		return turns >= 3
	}
	for end := time.Now().Add(period); (time.Now().Before(end) || !enough()) && !t.Failed(); {
		turns++
		g.edit(l.config(turns))
		old.use(t, turns)
		l.comesAndGoes(t, turns)
	}
	close(stop)
	load.Wait()
	for i, w := range workers {
		t.Logf("%s: %d", w.name, done[i].Load())
	}
	t.Logf("%d configurations", turns)
}
