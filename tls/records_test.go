// Tests of gathered records.

package tls

import (
	"errors"
	"net"
	"testing"
)

// slowly is a connection that takes a few bytes at once without waiting.
type slowly struct {
	net.Conn
	at   int
	got  []byte
	fail error
}

func (c *slowly) Write(p []byte) (int, error) {
	c.got = append(c.got, p...)
	return len(p), c.fail
}

func (c *slowly) TryWrite(p []byte) (int, error) {
	n := min(len(p), c.at)
	c.got = append(c.got, p[:n]...)
	return n, c.fail
}

func TestRecordsLeaveInTheirOrder(t *testing.T) {
	c := &slowly{at: 4}
	r := &records{Conn: c}
	write := func(s string) {
		t.Helper()
		if _, err := r.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	r.Hold()
	write("abc")
	write("def")
	if all, err := r.TryRelease(); all || err != nil {
		t.Fatalf("%v, %v with two bytes left", all, err)
	}
	write("ghi") // of the other direction: a KeyUpdate
	if string(c.got) != "abcd" {
		t.Fatalf("%q has left", c.got)
	}
	if err := r.Release(); err != nil {
		t.Fatal(err)
	}
	write("jkl")
	r.Hold()
	write("mno")
	if all, err := r.TryRelease(); !all || err != nil {
		t.Fatalf("%v, %v with room for all", all, err)
	}
	write("pqr")
	if string(c.got) != "abcdefghijklmnopqr" {
		t.Errorf("%q has left", c.got)
	}
}

func TestRecordsOfAConnectionThatFails(t *testing.T) {
	c := &slowly{at: 4, fail: errors.New("reset")}
	r := &records{Conn: c}
	r.Hold()
	_, _ = r.Write([]byte("abcdefgh"))
	if all, err := r.TryRelease(); !all || !errors.Is(err, c.fail) {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := r.Write([]byte("x")); !errors.Is(err, c.fail) {
		t.Errorf("a write after it: %v", err)
	}
}

// Where nothing can leave without waiting, all of it is left.
func TestRecordsWithoutTryWrite(t *testing.T) {
	r := &records{Conn: struct{ net.Conn }{&slowly{}}}
	r.Hold()
	_, _ = r.Write([]byte("abc"))
	if all, err := r.TryRelease(); all || err != nil {
		t.Errorf("%v, %v", all, err)
	}
}
