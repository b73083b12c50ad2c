package helm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

// Templates is what the templates of a module's chart give, by file and untouched: what
// Render parses, for people who look for the reason of its error.
func (c *Client) Templates(ctx context.Context, req installed.Request) (string, error) {
	c, err := c.as(req.Module.Origin.ServiceAccount)
	if err != nil {
		return "", fmt.Errorf("render module %s: %w", req.Module.Name, err)
	}
	l, err := c.charts.load(req.Module)
	if err != nil {
		return "", fmt.Errorf("render module %s: %w", req.Module.Name, err)
	}
	files, _, err := c.execute(ctx, l, req)
	if err != nil {
		return "", fmt.Errorf("render module %s: %w", req.Module.Name, err)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if text := strings.TrimSpace(files[name]); text != "" {
			fmt.Fprintf(&b, "---\n# Source: %s\n%s\n", name, text)
		}
	}
	return b.String(), nil
}
