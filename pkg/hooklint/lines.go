package hooklint

import (
	"bytes"
	"slices"
	"strings"
)

// lineMap leads from lines of the --config output to lines of the file that
// printed it, where the file holds that text: in a heredoc, or in a string.
type lineMap struct {
	file   []string
	output []string
	offset int // of a block that holds the whole output, -1 without one
}

func newLineMap(file, output []byte) lineMap {
	m := lineMap{file: lines(file), output: lines(output), offset: -1}
	if len(m.output) == 0 || len(m.output) > len(m.file) || len(m.file) > 20000 {
		return m
	}
	for i := 0; i+len(m.output) <= len(m.file); i++ {
		if slices.EqualFunc(m.output, m.file[i:i+len(m.output)], sameText) {
			m.offset = i
			break
		}
	}
	return m
}

// lines are the lines of text without the blank ones at its end; binary text has none.
func lines(text []byte) []string {
	if bytes.IndexByte(text, 0) >= 0 {
		return nil
	}
	text = bytes.TrimRight(text, " \t\r\n")
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\n")
}

// sameText compares lines; a heredoc with <<- takes indentation away.
func sameText(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }

// inFile is the file's line for a line of the output, counted from 1; 0 when it
// cannot be told. key is the name in question, to find it in a line of JSON.
func (m lineMap) inFile(line int, key string) int {
	if line < 1 || line > len(m.output) {
		return 0
	}
	if m.offset >= 0 {
		return m.offset + line
	}
	want := strings.TrimSpace(m.output[line-1])
	if want == "" {
		return 0
	}
	if n := m.only(func(l string) bool { return strings.TrimSpace(l) == want }); n > 0 {
		return n
	}
	if n := m.only(func(l string) bool { return strings.Contains(l, want) }); n > 0 {
		return n
	}
	if key == "" {
		return 0
	}
	return m.only(func(l string) bool { return strings.Contains(l, key) })
}

// only is the number of the line that fits when no other does.
func (m lineMap) only(fits func(string) bool) int {
	found := 0
	for i, l := range m.file {
		if !fits(l) {
			continue
		}
		if found > 0 {
			return 0
		}
		found = i + 1
	}
	return found
}
