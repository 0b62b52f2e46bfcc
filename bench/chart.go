//go:build linux

// The report's pictures, in SVG: ratios as bars with their quartiles, and latency under open load.

package main

import (
	"fmt"
	"html"
	"strings"
	"time"
)

// bar is one bar of a chart.
type bar struct {
	label          string
	value, low, up float64 // low and up are 0 without quartiles
	text           string  // at the bar's end
	colour         string
	first          bool // of a group, which is set apart
}

var colours = map[string]string{"nginx": "#8fb98b", "haproxy": "#9aa7c7", "caddy": "#c9b88f"}

func colour(name string) string {
	if c, ok := colours[name]; ok {
		return c
	}
	return "#d9744f"
}

// ratioChart shows what every proxy costs against the first of each row.
func ratioChart(results []result) string {
	var bars []bar
	for _, r := range results {
		for i, name := range r.Names {
			if i == 0 {
				continue
			}
			list := ratios(r.Samples[name], r.Samples[r.Names[0]])
			if len(list) == 0 {
				continue
			}
			value := quantile(list, 0.5)
			bars = append(bars, bar{
				label: r.Name + "  " + name, value: value, low: quantile(list, 0.25), up: quantile(list, 0.75),
				text: fmt.Sprintf("%.2f", value), colour: colour(name), first: i == 1,
			})
		}
	}
	return chart("CPU per request, against nginx (Caddy in rows h3, the small configuration in rows about scale)", bars, 2, 1)
}

// latencyChart shows the percentiles of the rows with open load.
func latencyChart(results []result) string {
	var bars []bar
	most := 0.0
	for _, r := range results {
		if r.Share == 0 {
			continue
		}
		for _, p := range []struct {
			name string
			of   func(sample) time.Duration
		}{
			{"p50", func(s sample) time.Duration { return s.P50 }},
			{"p99", func(s sample) time.Duration { return s.P99 }},
			{"p99.9", func(s sample) time.Duration { return s.P999 }},
		} {
			for j, name := range r.Names {
				list := column(r.Samples[name], func(s sample) float64 { return p.of(s).Seconds() * 1000 })
				value := quantile(list, 0.5)
				most = max(most, value)
				bars = append(bars, bar{
					label: r.Name + " " + p.name + "  " + name, value: value, low: quantile(list, 0.25), up: quantile(list, 0.75),
					text: fmt.Sprintf("%.2f ms", value), colour: colour(name), first: j == 0,
				})
			}
		}
	}
	return chart("Latency under open load, milliseconds", bars, most*1.05, 0)
}

// chart draws horizontal bars up to a limit, with a line at mark unless that is 0.
func chart(title string, bars []bar, limit, mark float64) string {
	const left, width, height, gap, right = 230, 520, 14, 8, 70
	x := func(v float64) float64 { return left + width*min(v, limit)/max(limit, 1e-9) }
	var b strings.Builder
	y := 30
	for _, a := range bars {
		if a.first {
			y += gap
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-6, y+height-3, html.EscapeString(a.label))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, left, y+1, x(a.value)-left, height-2, a.colour)
		if a.up > 0 {
			fmt.Fprintf(&b, `<path d="M%.1f %dH%.1f" stroke="#333"/>`, x(a.low), y+height/2, x(a.up))
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`+"\n", max(x(a.up), x(a.value))+4, y+height-3, html.EscapeString(a.text))
		y += height
	}
	if mark > 0 {
		fmt.Fprintf(&b, `<path d="M%.1f 30V%d" stroke="#333" stroke-dasharray="3 3"/>`+"\n", x(mark), y)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n"+
		`<rect width="100%%" height="100%%" fill="white"/><text x="10" y="18" font-size="13">%s</text>`+"\n%s</svg>\n",
		left+width+right, y+12, html.EscapeString(title), b.String())
}
