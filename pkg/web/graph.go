package web

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// Graph is nodes in columns and edges between them: what /graph shows.
type Graph struct {
	Title string
	Nodes []Node
	Edges []Edge
}

// Node is one box.
type Node struct {
	ID string
	// Lines are its text; the first stands out.
	Lines []string
	// Column is where it stands from left to right; columns are sorted by it, and those without nodes left out.
	Column int
	// Fill is its colour, as #rrggbb.
	Fill string
}

// Edge is an arrow. Dashed ones ask for something and do not wait for it.
type Edge struct {
	From, To, Label string
	Dashed          bool
	// Faint edges are there for completeness.
	Faint bool
}

// DOT is the graph in the language of Graphviz (https://graphviz.org/doc/info/lang.html).
func (g Graph) DOT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n", dotQuote(g.Title))
	for _, column := range g.columns() {
		b.WriteString("  { rank=same;\n")
		for _, n := range column {
			fmt.Fprintf(&b, "    %s [label=%s, fillcolor=%s];\n", dotQuote(n.ID), dotQuote(strings.Join(n.Lines, "\n")), dotQuote(n.Fill))
		}
		b.WriteString("  }\n")
	}
	for _, e := range g.Edges {
		style := "solid"
		if e.Dashed {
			style = "dashed"
		}
		color := "#404040"
		if e.Faint {
			color = "#c0c0c0"
		}
		fmt.Fprintf(&b, "  %s -> %s [style=%s, color=%s", dotQuote(e.From), dotQuote(e.To), style, dotQuote(color))
		if e.Label != "" {
			fmt.Fprintf(&b, ", label=%s", dotQuote(e.Label))
		}
		b.WriteString("];\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func dotQuote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// columns are the nodes from left to right, and from top to bottom in the given order.
func (g Graph) columns() [][]Node {
	nodes := slices.Clone(g.Nodes)
	slices.SortStableFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Column, b.Column) })
	var out [][]Node
	for i, n := range nodes {
		if i == 0 || nodes[i-1].Column != n.Column {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], n)
	}
	return out
}

// Sizes of the drawing, in pixels.
const (
	lineHeight = 15
	charWidth  = 7
	boxPadding = 10
	rowGap     = 14
	columnGap  = 90
	margin     = 20
	titleSpace = 30
)

// box is a node with its place.
type box struct {
	Node
	x, y, w, h int
}

// layout places columns beside one another, and the nodes of each below one another.
func (g Graph) layout() (boxes map[string]box, width, height int) {
	boxes = map[string]box{}
	x := margin
	for _, column := range g.columns() {
		w, y := 0, margin+titleSpace
		for _, n := range column {
			for _, line := range n.Lines {
				w = max(w, len([]rune(line))*charWidth+2*boxPadding)
			}
		}
		for _, n := range column {
			h := len(n.Lines)*lineHeight + boxPadding
			boxes[n.ID] = box{n, x, y, w, h}
			y += h + rowGap
		}
		height = max(height, y)
		x += w + columnGap
	}
	return boxes, max(x-columnGap+margin, 400), height + margin
}

// SVG draws the graph (https://www.w3.org/TR/SVG11/).
func (g Graph) SVG() []byte {
	boxes, width, height := g.layout()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height, width, height)
	b.WriteString(`<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#404040"/></marker></defs>` + "\n")
	b.WriteString(`<rect width="100%" height="100%" fill="#ffffff"/>` + "\n")
	fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="16">%s</text>`+"\n", margin, margin+lineHeight, xmlText(g.Title))
	for _, e := range g.Edges {
		from, okFrom := boxes[e.From]
		to, okTo := boxes[e.To]
		if okFrom && okTo {
			drawEdge(&b, e, from, to)
		}
	}
	for _, n := range g.Nodes {
		drawBox(&b, boxes[n.ID])
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// drawEdge goes from the right side of a box to the left side of another, or around where that one stands further left.
func drawEdge(b *strings.Builder, e Edge, from, to box) {
	x1, y1 := from.x+from.w, from.y+from.h/2
	x2, y2 := to.x, to.y+to.h/2
	bend := max(40, (x2-x1)/2)
	style := `stroke="#404040" marker-end="url(#arrow)"`
	if e.Faint {
		style = `stroke="#d8d8d8"`
	}
	if e.Dashed {
		style += ` stroke-dasharray="5,4"`
	}
	fmt.Fprintf(b, `<path d="M%d,%d C%d,%d %d,%d %d,%d" fill="none" %s/>`+"\n", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2, style)
	if e.Label != "" {
		fmt.Fprintf(b, `<text x="%d" y="%d" font-size="10" fill="#606060" text-anchor="middle">%s</text>`+"\n", (x1+x2)/2, (y1+y2)/2-3, xmlText(e.Label))
	}
}

func drawBox(b *strings.Builder, x box) {
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" rx="5" fill="%s" stroke="#808080"/>`+"\n", x.x, x.y, x.w, x.h, xmlText(x.Fill))
	for i, line := range x.Lines {
		weight := "normal"
		if i == 0 {
			weight = "bold"
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="%s">%s</text>`+"\n", x.x+boxPadding, x.y+boxPadding/2+(i+1)*lineHeight-4, weight, xmlText(line))
	}
}

func xmlText(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // writing to memory does not fail
	return b.String()
}
