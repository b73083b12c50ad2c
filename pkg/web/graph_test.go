package web_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/web"
)

// C-480: /graph as DOT and as a drawing.
func TestAGraphIsDrawnInColumns(t *testing.T) {
	g := web.Graph{Title: `a "graph" <of> & things`, Nodes: []web.Node{
		{ID: "b", Lines: []string{"20 b", `say "hi" <now>`}, Column: 20, Fill: "#ffffff"},
		{ID: "a", Lines: []string{"10 a"}, Column: 10, Fill: "#ffffff"},
	}, Edges: []web.Edge{{From: "a", To: "b", Label: "required >=1"}, {From: "none", To: "b", Dashed: true}, {From: "a", To: "b", Faint: true}}}
	want := `digraph "a \"graph\" <of> & things" {
  rankdir=LR;
  node [shape=box, style="rounded,filled", fontname="sans-serif"];
  { rank=same;
    "a" [label="10 a", fillcolor="#ffffff"];
  }
  { rank=same;
    "b" [label="20 b\nsay \"hi\" <now>", fillcolor="#ffffff"];
  }
  "a" -> "b" [style=solid, color="#404040", label="required >=1"];
  "none" -> "b" [style=dashed, color="#404040"];
  "a" -> "b" [style=solid, color="#c0c0c0"];
}
`
	if got := g.DOT(); got != want {
		t.Errorf("got\n%s", got)
	}
	svg := string(g.SVG())
	d := xml.NewDecoder(strings.NewReader(svg))
	count := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
	if count["rect"] != 3 || count["path"] != 3 { // background and boxes; the arrow head and two edges
		t.Errorf("%v in\n%s", count, svg)
	}
	if !strings.Contains(svg, ">10 a<") || !strings.Contains(svg, "say &#34;hi&#34; &lt;now&gt;") {
		t.Error(svg)
	}
}
