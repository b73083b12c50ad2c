package hooklint

import (
	"fmt"
	"io"
	"strings"
)

// Write prints a report for people: each file with what it declares, then what
// is to be mended, as FILE:LINE: PATH: MESSAGE: FIX.
func Write(w io.Writer, r Report) {
	for _, f := range r.Files {
		if f.Hook {
			fmt.Fprintf(w, "%s: hook, %s\n", f.Path, f.Owner)
		} else {
			fmt.Fprintf(w, "%s: skipped: %s\n", f.Path, f.Why)
		}
		for _, b := range f.Bindings {
			fmt.Fprintf(w, "  %s\n", b)
		}
		for _, x := range f.Findings {
			fmt.Fprintf(w, "  %s\n", x.text(f.Path))
		}
	}
	fmt.Fprintf(w, "%s, %s, %s\n", count(r.Hooks, "hook"), count(r.Errors, "error"), count(r.Warnings, "warning"))
}

// text is a finding on one line.
func (x Finding) text(file string) string {
	var b strings.Builder
	b.WriteString(file)
	switch {
	case x.Line > 0:
		fmt.Fprintf(&b, ":%d", x.Line)
	case x.ConfigLine > 0:
		fmt.Fprintf(&b, ": --config line %d", x.ConfigLine)
	}
	b.WriteString(": ")
	if x.Severity != Error {
		b.WriteString("warning: ")
	}
	if x.Path != "" {
		b.WriteString(x.Path + ": ")
	}
	b.WriteString(strings.Join(strings.Fields(x.Message), " "))
	if x.Fix != "" {
		b.WriteString(": " + x.Fix)
	}
	if x.Severity != Error {
		b.WriteString(" [" + x.Rule + "]")
	}
	return b.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
