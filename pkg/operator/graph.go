package operator

import (
	"fmt"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// Columns of the graph; modules stand behind these, by weight.
const (
	hooksColumn  = -2
	globalColumn = -1
)

// graph draws what decides about whom: global hooks, the global section, modules by weight,
// and which modules require or want others. The format is text, which is DOT, or svg.
func (i *inspector) graph(format string) (any, error) {
	switch format {
	case "", "text", "dot":
		return i.drawing().DOT(), nil
	case "svg", "png", "image":
		return web.File{ContentType: "image/svg+xml", Body: i.drawing().SVG()}, nil
	}
	return nil, fmt.Errorf("format %q: expected text, dot or svg: %w", format, web.ErrBadRequest)
}

func (i *inspector) drawing() web.Graph {
	g := web.Graph{Title: "modules", Nodes: []web.Node{i.globalNode()}}
	for _, name := range i.loop.GlobalHooks() {
		id := "hook " + name
		g.Nodes = append(g.Nodes, web.Node{ID: id, Lines: []string{name}, Column: hooksColumn, Fill: "#e8e8ff"})
		g.Edges = append(g.Edges, web.Edge{From: id, To: "global"})
	}
	states := map[string]status.Module{}
	for _, m := range i.loop.Status() {
		states[m.Name] = m
	}
	for _, m := range i.loop.Modules().Modules {
		g.Nodes = append(g.Nodes, moduleNode(m, states[m.Name]))
		g.Edges = append(g.Edges, moduleEdges(m)...)
	}
	return g
}

func (i *inspector) globalNode() web.Node {
	lines := []string{"global"}
	if g := i.loop.Published(); g != nil {
		lines = append(lines, fmt.Sprintf("revision %d", g.Revision), fmt.Sprintf("%d modules on", len(g.Enabled)))
	}
	return web.Node{ID: "global", Lines: lines, Column: globalColumn, Fill: "#d0d0ff"}
}

func moduleNode(m *module.Descriptor, s status.Module) web.Node {
	lines := []string{fmt.Sprintf("%d %s", m.Weight, m.Name), strings.TrimSpace(string(s.Phase) + " " + s.Reason)}
	if len(m.Exports) > 0 {
		lines = append(lines, "exports "+strings.Join(m.Exports, ", "))
	}
	return web.Node{ID: m.Name, Lines: lines, Column: m.Weight, Fill: fill(s.Phase)}
}

// fill is the colour of a phase.
func fill(p status.Phase) string {
	switch p {
	case status.Deployed:
		return "#c6efce"
	case status.Failing:
		return "#ffc7ce"
	case status.Disabled:
		return "#eeeeee"
	}
	return "#ffeb9c"
}

func moduleEdges(m *module.Descriptor) []web.Edge {
	faint := web.Edge{From: "global", To: m.Name, Faint: true}
	if m.Inputs != nil {
		faint.Label = strings.Join(m.Inputs, " ")
		faint.Label = shortened(faint.Label)
	}
	out := []web.Edge{faint}
	for _, r := range m.Requires {
		out = append(out, web.Edge{From: r.Module, To: m.Name, Label: strings.TrimSpace("required " + r.Version)})
	}
	for _, w := range m.Wants {
		out = append(out, web.Edge{From: w, To: m.Name, Label: "wanted", Dashed: true})
	}
	return out
}

// shortened keeps labels from covering the drawing.
func shortened(text string) string {
	const most = 40
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}
