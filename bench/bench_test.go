//go:build linux

// The harness's own arithmetic and parsing, and a short run of all of it where the tools are there.

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const wrkOutput = `Running 2s test @ http://127.0.0.1:8100/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.98ms  612.00us  12.40ms   88.00%
    Req/Sec    32.70k     1.31k   34.80k    71.43%
  Latency Distribution
     50%    1.88ms
     75%    2.05ms
     90%    2.45ms
     99%  812.00us
  68312 requests in 2.10s, 14.20MB read
Requests/sec:  32531.07
Transfer/sec:      6.76MB
`

func TestWrkOutputIsRead(t *testing.T) {
	got, err := parseWrk(wrkOutput)
	want := figures{Requests: 68312, PerSecond: 32531.07, P50: 1880 * time.Microsecond, P99: 812 * time.Microsecond}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestWrkErrorsAreCounted(t *testing.T) {
	got, err := parseWrk(wrkOutput + "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 100\n")
	if err != nil || got.Errors != 110 {
		t.Errorf("got %d errors, %v; want 110", got.Errors, err)
	}
}

func TestWrkWithoutResultIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"unable to connect":     "unable to connect to 127.0.0.1:1 Connection refused\n",
		"nothing was answered":  strings.ReplaceAll(wrkOutput, "68312", "0"),
		"percentile is missing": strings.ReplaceAll(wrkOutput, "99%", ""),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := parseWrk(text); err == nil {
				t.Errorf("got %+v and no error", got)
			}
		})
	}
}

func TestQuantilesInterpolate(t *testing.T) {
	for _, c := range []struct {
		samples []float64
		q, want float64
	}{
		{[]float64{4, 1, 3, 2}, 0.25, 1.75},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{3, 1, 2}, 1, 3},
		{[]float64{7}, 0.75, 7},
	} {
		if got := quantile(c.samples, c.q); got != c.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", c.samples, c.q, got, c.want)
		}
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("the median of nothing is not NaN")
	}
}

func TestRatiosPairRounds(t *testing.T) {
	got := ratios([]sample{{CPU: 10}, {CPU: 30}}, []sample{{CPU: 20}, {CPU: 20}, {CPU: 1}})
	if len(got) != 2 || got[0] != 0.5 || got[1] != 1.5 {
		t.Errorf("got %v, want [0.5 1.5]", got)
	}
}

func TestStatWithParenthesesInTheName(t *testing.T) {
	got, err := parseStat([]byte("42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 120 30 0 0 20 0 1 0 1 1 1"))
	if err != nil || got != 1500*time.Millisecond {
		t.Errorf("got %v, %v; want 1.5s", got, err)
	}
	if _, err := parseStat([]byte("garbage")); err == nil {
		t.Error("garbage was accepted")
	}
}

func TestOwnProcessIsMeasured(t *testing.T) {
	if rss, err := residentMiB(os.Getpid()); err != nil || rss < 1 {
		t.Errorf("resident memory %v MiB, %v", rss, err)
	}
	if _, err := cpuTime(os.Getpid()); err != nil {
		t.Error(err)
	}
}

// Every row, for a moment: every peer starts with its configuration, and not one request to the gateway fails.
func TestToolsShortRun(t *testing.T) {
	if os.Getenv("WICKETGATE_TEST_TOOLS") == "" {
		t.Skip("needs wrk, h2load, nginx and haproxy: make test-all")
	}
	t.Chdir("..")
	gateway := filepath.Join(t.TempDir(), "wicketgate")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", gateway, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, text)
	}
	var out strings.Builder
	s := settings{gateway: gateway, rounds: 1, window: 200 * time.Millisecond, out: "-", idle: 100, settle: 200 * time.Millisecond, upload: 16 << 20, most: 100, sizes: []int{2, 10}}
	if err := run(t.Context(), s, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, w := range rows() {
		_, section, found := strings.Cut(out.String(), "\n## "+w.Name+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !found || strings.Contains(section, "not installed") {
			t.Errorf("row %s: %s", w.Name, section)
		}
	}
}

func TestRowsAreChosenByName(t *testing.T) {
	all := []row{{Name: "a"}, {Name: "a-b"}, {Name: "c"}}
	for list, want := range map[string]string{"": "a a-b c", "a": "a", "a*": "a a-b", "c,a": "c a", "x": "", "a,x*": ""} {
		got, err := choose(all, list)
		var names []string
		for _, w := range got {
			names = append(names, w.Name)
		}
		if strings.Join(names, " ") != want || (err != nil) != (want == "") {
			t.Errorf("%q: %v, %v; want %q", list, names, err, want)
		}
	}
}

func TestNamesOfRowsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range rows() {
		if seen[w.Name] {
			t.Errorf("two rows are named %s", w.Name)
		}
		seen[w.Name] = true
	}
}

func TestH2loadOutputIsRead(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("1\t200\t300\n2\t200\t100\n3\t200\t200\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := `finished in 1.00s, 51234.00 req/s, 8.10MB/s
requests: 51234 total, 51244 started, 51234 done, 51230 succeeded, 4 failed, 3 errored, 0 timeout
status codes: 51230 2xx, 0 3xx, 1 4xx, 3 5xx
`
	got, err := parseH2load(text, log)
	if err != nil || got.Requests != 51230 || got.PerSecond != 51234 || got.P50 != 200*time.Microsecond || got.Errors < 7 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parseH2load("nothing", log); err == nil {
		t.Error("no result is no error")
	}
}

func TestMachineTimeLeavesOutIdle(t *testing.T) {
	got, err := parseMachine("cpu  100 10 50 9999 77 3 7 0 0 0\ncpu0 1 1 1 1 1 1 1\n")
	if err != nil || got != 1700*time.Millisecond {
		t.Errorf("got %v, %v; want 1.7s", got, err)
	}
	if _, err := parseMachine("intr 1 2 3\n"); err == nil {
		t.Error("garbage was accepted")
	}
}

// The README says what the report says: `make bench` writes both.
func TestReadmeShowsTheReport(t *testing.T) {
	report, err := os.ReadFile("RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	table, err := readmeTable(string(report))
	if err != nil {
		t.Fatal(err)
	}
	want, err := replaceTable(string(readme), table)
	if err != nil {
		t.Fatal(err)
	}
	if want != string(readme) {
		t.Errorf("the README's table should be\n%s", table)
	}
}

func TestReadmeTableNamesRowsThatAre(t *testing.T) {
	for _, r := range readmeRows() {
		if chosen, err := choose(rows(), r.name); err != nil || len(chosen) != 1 {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}

func TestChartsAreXML(t *testing.T) {
	r := result{Name: "a<b", Share: 0.3, Names: []string{"nginx", "wicketgate"}, Samples: map[string][]sample{
		"nginx": {{CPU: 2, P50: time.Millisecond}}, "wicketgate": {{CPU: 1, P50: time.Second}},
	}}
	for _, text := range []string{ratioChart([]result{r}), latencyChart([]result{r})} {
		d := xml.NewDecoder(strings.NewReader(text))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %s", err, text)
			}
		}
	}
	if !strings.Contains(ratioChart([]result{r}), ">0.50<") {
		t.Error("the ratio 0.50 is not shown")
	}
}
