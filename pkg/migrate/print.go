package migrate

import (
	"bufio"
	"fmt"
	"io"
)

// Print writes findings for people.
func Print(out io.Writer, found []Finding) error {
	b := bufio.NewWriter(out)
	count := map[Kind]int{}
	for _, f := range found {
		count[f.Kind]++
		fmt.Fprintf(b, "%-10s %s\n           %s\n", f.Kind, f.Object, f.What)
		if f.WayOut != "" {
			fmt.Fprintf(b, "           way out: %s\n", f.WayOut)
		}
		fmt.Fprintln(b)
	}
	fmt.Fprintf(b, "to change first: %d, steps: %d, differences: %d, taken over: %d\n", count[Change], count[Step], count[Differs], count[Takes])
	return b.Flush()
}
