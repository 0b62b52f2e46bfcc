// Ports are given once, to one program, and from where clients have none.

package ports

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// child, in the environment, makes this program one that asks for ports and prints them.
const child = "WICKETGATE_PORTS_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	for range 20 {
		port, err := Free()
		if err != nil {
			panic(err)
		}
		fmt.Println(port)
	}
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test has seen them all
}

func TestPortsAreGivenOnce(t *testing.T) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	given := map[int]bool{}
	for range 4 {
		asking.Go(func() {
			for range 20 {
				port, err := Free()
				mu.Lock()
				if err != nil || given[port] {
					t.Errorf("%d, %v", port, err)
				}
				given[port] = true
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	first, last := clients()
	for port := range given {
		if port >= first && port <= last {
			t.Errorf("%d may be a client's, who have %d to %d", port, first, last)
		}
	}
}

func TestProgramsHaveBlocksOfTheirOwn(t *testing.T) {
	of := map[string]int{}
	for i := range 5 {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), child+"=1")
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { // all run until all have said their ports
			_ = in.Close()
			if err := c.Wait(); err != nil {
				t.Error(err)
			}
		}()
		for range 20 {
			var port string
			if _, err := fmt.Fscan(out, &port); err != nil {
				t.Fatal(err)
			}
			if other, twice := of[port]; twice {
				t.Errorf("programs %d and %d have port %s", other, i, port)
			}
			of[port] = i
		}
	}
}

func TestPortsThatAreTakenAreLeftOut(t *testing.T) {
	port, err := Free()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1:", "127.0.0.9:", ":"} {
		l, err := net.Listen("tcp", address+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		if unused(port) {
			t.Errorf("TCP %s is taken", l.Addr())
		}
		_ = l.Close()
		c, err := net.ListenPacket("udp", address+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		if unused(port) {
			t.Errorf("UDP %s is taken", c.LocalAddr())
		}
		_ = c.Close()
	}
	if !unused(port) {
		t.Error("nobody has it any more")
	}
}

func TestBlocksLieApartFromClients(t *testing.T) {
	for clients, want := range map[[2]int]string{
		{32_768, 60_999}: "10000-32000", // Linux
		{49_152, 65_535}: "10000-32000", // most others
		{16_000, 65_535}: "10000-16000",
		{1_024, 60_000}:  "60001-65536",
		{1_024, 5_000}:   "10000-65536",
		{1_024, 65_535}:  "10000-32000", // there is no other
	} {
		low, high := between(clients[0], clients[1])
		if got := strings.Join([]string{strconv.Itoa(low), strconv.Itoa(high)}, "-"); got != want {
			t.Errorf("clients have %v: %s, want %s", clients, got, want)
		}
	}
}
