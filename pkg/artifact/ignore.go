package artifact

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// ignoreFile says which files of a chart's directory are no part of the chart
// (https://helm.sh/docs/chart_template_guide/helm_ignore_file/).
const ignoreFile = ".helmignore"

// ignoreRules are the lines of a .helmignore in Helm's meaning of them: the first that matches
// decides, and a negated one takes out what it does not match.
type ignoreRules []ignoreRule

type ignoreRule struct {
	pattern                 string
	negated, dirOnly, whole bool
}

func parseIgnore(text string) (ignoreRules, error) {
	var out ignoreRules
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff") + "\ntemplates/.?*") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.Contains(line, "**") {
			return nil, fmt.Errorf("%s: %q: ** is not supported by Helm", ignoreFile, line)
		}
		if _, err := path.Match(line, "abc"); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", ignoreFile, line, err)
		}
		out = append(out, newIgnoreRule(line))
	}
	return out, nil
}

func newIgnoreRule(line string) ignoreRule {
	var r ignoreRule
	line, r.negated = strings.CutPrefix(line, "!")
	line, r.dirOnly = strings.CutSuffix(line, "/")
	r.whole = strings.Contains(line, "/")
	r.pattern = strings.TrimPrefix(line, "/")
	return r
}

func (r ignoreRule) matches(name string) bool {
	if !r.whole {
		name = path.Base(name)
	}
	ok, err := path.Match(r.pattern, name)
	return err == nil && ok
}

// drops says whether a file is left out, itself or with a directory above it.
func (rules ignoreRules) drops(file string) bool {
	for i, c := range file {
		if c == '/' && rules.drop(file[:i], true) {
			return true
		}
	}
	return rules.drop(file, false)
}

func (rules ignoreRules) drop(name string, dir bool) bool {
	for _, r := range rules {
		fits := (dir || !r.dirOnly) && r.matches(name)
		if fits != r.negated {
			return true
		}
	}
	return false
}

var errIgnored = errors.New("is left out by " + ignoreFile)
