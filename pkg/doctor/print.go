package doctor

import (
	"bufio"
	"fmt"
	"io"
)

// Print writes findings for people.
func Print(out io.Writer, found []Finding) error {
	b := bufio.NewWriter(out)
	count := map[Severity]int{}
	for _, f := range found {
		count[f.Severity]++
		fmt.Fprintf(b, "%-8s %s\n         %s\n         expected: %s\n         way out:  %s\n\n", f.Severity, f.Object, f.Problem, f.Expected, f.WayOut)
	}
	if len(found) == 0 {
		fmt.Fprintln(b, "nothing is wrong")
		return b.Flush()
	}
	fmt.Fprintf(b, "%d errors, %d warnings, %d notes\n", count[Error], count[Warning], count[Note])
	return b.Flush()
}
