package hooktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Show says what is shown of a Result.
type Show struct {
	// Contexts shows the binding contexts that the hook was given, as they are:
	// objects in them are not masked.
	Contexts bool
	// Colour marks added and removed lines of differences.
	Colour bool
	// Live, if not nil, finds the objects that operations are about; DryRun, if not
	// nil, asks what would become of them.
	Live   Live
	DryRun DryRun
	// Applies tells that the object operations will be done.
	Applies bool
}

// Write shows a result to people: runs, log, changes of values and settings,
// object operations, metrics, answers. Secret values and data of Secrets are masked.
func (r Result) Write(w io.Writer, s Show) {
	p := printer{w: w, colour: s.Colour}
	for _, st := range r.Steps {
		p.title("run: %s", st.Name)
		if s.Contexts {
			p.text(indentJSON(st.Contexts))
		}
		fmt.Fprintf(w, "time %s, CPU %s, memory %.0f MB\n", ms(st.Usage.Wall), ms(st.Usage.User+st.Usage.System), float64(st.Usage.MaxRSS)/1e6)
	}
	if len(r.Log) > 0 {
		p.title("log")
		for _, l := range r.Log {
			fmt.Fprintln(w, l)
		}
	}
	if r.Err != nil {
		p.title("failed: nothing of this run would count")
		fmt.Fprintln(w, cause(r.Err))
		var own *hook.RunError
		if errors.As(r.Err, &own) && own.Stderr != "" && len(r.Log) == 0 {
			fmt.Fprintln(w, own.Stderr)
		}
	}
	r.writeValues(&p)
	r.writeOperations(&p, s)
	record := plain(r.Record(false))
	for _, part := range []struct{ key, title string }{
		{recordEnabled, "modules switched"}, {recordMetrics, "metrics"}, {recordAdmission, "answer to the review"}, {recordConversion, "answer to the conversion"},
	} {
		if v, ok := values.Get(record, part.key); ok {
			p.title("%s", part.title)
			p.text(YAML(v))
		}
	}
	if r.Err == nil && p.titles == len(r.Steps) {
		p.title("no output")
		fmt.Fprintln(w, "the hook succeeded and asked for nothing")
	}
}

func (r Result) writeValues(p *printer) {
	if r.sections == nil || r.Before == nil {
		return
	}
	for _, part := range []struct {
		title         string
		before, after values.Map
		ops           []values.Op
	}{
		{"values", r.Before, r.After, r.Values}, {"settings (ConfigMap)", r.SettingsBefore, r.SettingsAfter, r.Config},
	} {
		ops := r.sections.maskedOps(r.ownOps(part.ops))
		if len(ops) == 0 {
			continue
		}
		p.title("%s: %d operations", part.title, len(ops))
		diff := explain.Unified("before", "after", YAML(any(r.sections.masked(part.before))), YAML(any(r.sections.masked(part.after))))
		if diff != "" {
			p.diff(diff)
			continue
		}
		fmt.Fprintln(p.w, "they change nothing that may be shown:")
		p.text(YAML(plain(opsOf(ops))))
	}
}

func (r Result) writeOperations(p *printer, s Show) {
	if len(r.Operations) == 0 {
		return
	}
	done := "none of them done"
	if s.Applies && r.Err == nil {
		done = "to be done"
	}
	p.title("object operations: %d, %s", len(r.Operations), done)
	previews := make([]Preview, len(r.Operations))
	if s.Live != nil {
		previews = PreviewAll(r.Operations, s.Live, s.DryRun)
	}
	for i, op := range r.Operations {
		p.text("---\n" + YAML(plain(OperationDocument(op, false))))
		if s.Live == nil {
			continue
		}
		switch diff := previews[i].Diff(); {
		case previews[i].Err != nil:
			fmt.Fprintf(p.w, "# would fail: %v\n", previews[i].Err)
		case diff == "" && previews[i].Before == nil:
			fmt.Fprintln(p.w, "# there is no such object: nothing would change")
		case diff == "":
			fmt.Fprintln(p.w, "# nothing would change")
		default:
			p.diff(diff)
		}
	}
}

// printer writes sections.
type printer struct {
	w      io.Writer
	colour bool
	titles int
}

func (p *printer) title(format string, args ...any) {
	if p.titles > 0 {
		fmt.Fprintln(p.w)
	}
	p.titles++
	text := fmt.Sprintf(format, args...)
	if p.colour {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	fmt.Fprintf(p.w, "== %s\n", text)
}

func (p *printer) text(text string) {
	fmt.Fprint(p.w, text)
	if text != "" && !strings.HasSuffix(text, "\n") {
		fmt.Fprintln(p.w)
	}
}

// diff colours lines by their first letter.
func (p *printer) diff(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if p.colour {
			switch line[:min(1, len(line))] {
			case "+":
				line = "\x1b[32m" + line + "\x1b[0m"
			case "-":
				line = "\x1b[31m" + line + "\x1b[0m"
			}
		}
		fmt.Fprintln(p.w, line)
	}
}

func indentJSON(text []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return strconv.Quote(string(text))
	}
	return b.String()
}
