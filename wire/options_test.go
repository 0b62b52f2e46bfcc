// What a Connection field may cost: each option is looked for among all fields.

package wire

import (
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/message"
)

func TestConnectionMayNotNameFieldsWithoutEnd(t *testing.T) {
	lim := Limits{}.WithDefaults()
	for options, refused := range map[int]bool{maxOptions: false, maxOptions + 1: true, 30_000: true} {
		var h message.Head
		text := "GET / HTTP/1.1\r\nHost: a.example\r\nA: 1\r\nConnection: " + strings.Repeat("a,", options) + "close, upgrade\r\n\r\n"
		if _, _, err := ParseRequestHead([]byte(text), &h, &lim); (err != nil) != refused {
			t.Errorf("%d options: %v", options, err)
		}
		if !refused && h.Fields.Len() > 0 {
			t.Errorf("%d options: the field that they name is still there", options)
		}
	}
}
