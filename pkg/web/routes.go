package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// What an Answer may fail of; everything else is status 500 (C-480).
var (
	// ErrNotFound is for a name that nobody knows: status 404.
	ErrNotFound = errors.New("not found")
	// ErrBadRequest is for a question that makes no sense: status 400.
	ErrBadRequest = errors.New("bad request")
)

// Route is one question about the inside of the process (C-480).
type Route struct {
	// Method is GET when empty.
	Method string
	// Path may have parts in braces, as /module/{name}/values; {name...} stands for one
	// part or more. Whoever asks ends it with the format: .json, .yaml or .text.
	Path string
	// Help says in a few words what the answer is; the list at /discovery shows it.
	Help string
	// Remote: asked over TCP too, where no file mode keeps others out (C-484).
	Remote bool
	// Answer gives a value for JSON and YAML, a string, which every format shows as it
	// is, or a File. A value with a method Text() string has a form for people.
	Answer func(ctx context.Context, q Query) (any, error)
}

// Query is what was asked.
type Query struct {
	// Parts are those of the path in braces, by name.
	Parts map[string]string
	// Form are the parameters, of the path's query and of a form.
	Form url.Values
}

// Is says whether a parameter is true.
func (q Query) Is(name string) bool {
	is, err := strconv.ParseBool(q.Form.Get(name))
	return err == nil && is
}

// File is an answer with a type of its own.
type File struct {
	ContentType string
	Body        []byte
}

// Debug answers the routes, lists them at /discovery, and tells at / who this is.
func Debug(banner string, routes []Route) http.Handler {
	list := Route{Path: "/discovery", Help: "this list", Remote: true}
	all := append(slices.Clone(routes), list)
	all[len(all)-1].Answer = func(context.Context, Query) (any, error) { return discovery(all), nil }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			fmt.Fprintln(w, banner+": see /discovery")
			return
		}
		serveRoute(w, r, all)
	})
}

// Remote are the routes that are answered over TCP.
func Remote(routes []Route) []Route {
	return slices.DeleteFunc(slices.Clone(routes), func(r Route) bool { return !r.Remote })
}

func discovery(routes []Route) string {
	var b strings.Builder
	for _, r := range routes {
		fmt.Fprintf(&b, "%-4s %s\t%s\n", r.method(), r.Path, r.Help)
	}
	return b.String()
}

func (r Route) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

func serveRoute(w http.ResponseWriter, r *http.Request, routes []Route) {
	path, format := split(r.URL.Path)
	wrongMethod := false
	for _, route := range routes {
		parts, ok := match(route.Path, path)
		if !ok {
			if parts, ok = match(route.Path, r.URL.Path); ok {
				format = ""
			}
		}
		if !ok {
			continue
		}
		if route.method() != r.Method {
			wrongMethod = true
			continue
		}
		if !slices.Contains([]string{"", "json", "yaml", "text"}, format) {
			fail(w, fmt.Errorf("format %q: expected json, yaml or text: %w", format, ErrBadRequest))
			return
		}
		if err := r.ParseForm(); err != nil {
			fail(w, fmt.Errorf("%w: %w", ErrBadRequest, err))
			return
		}
		v, err := route.Answer(r.Context(), Query{Parts: parts, Form: r.Form})
		answer(w, format, v, err)
		return
	}
	if wrongMethod {
		http.Error(w, r.URL.Path+" is not answered for "+r.Method+": see /discovery", http.StatusMethodNotAllowed)
		return
	}
	fail(w, fmt.Errorf("%s: see /discovery: %w", r.URL.Path, ErrNotFound))
}

// match compares a path with a pattern. At most one part of a pattern is {name...}.
func match(pattern, path string) (map[string]string, bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if i := slices.IndexFunc(want, func(p string) bool { return strings.HasSuffix(p, "...}") }); i >= 0 {
		n := len(have) - len(want) + 1 // how many parts it stands for
		if n < 1 {
			return nil, false
		}
		have = slices.Concat(have[:i], []string{strings.Join(have[i:i+n], "/")}, have[i+n:])
	}
	if len(want) != len(have) {
		return nil, false
	}
	parts := map[string]string{}
	for i, w := range want {
		name, ok := strings.CutPrefix(w, "{")
		switch {
		case !ok && w != have[i], ok && have[i] == "":
			return nil, false
		case ok:
			parts[strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")] = have[i]
		}
	}
	return parts, true
}

// split takes the format off the last part of a path.
func split(path string) (rest, format string) {
	slash, dot := strings.LastIndexByte(path, '/'), strings.LastIndexByte(path, '.')
	if dot <= slash {
		return path, ""
	}
	return path[:dot], path[dot+1:]
}

// answer writes a value in a format, YAML when none is given.
func answer(w http.ResponseWriter, format string, v any, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	switch v := v.(type) {
	case File:
		w.Header().Set("Content-Type", v.ContentType)
		_, _ = w.Write(v.Body)
		return
	case string:
		fmt.Fprint(w, v)
		return
	case interface{ Text() string }:
		if format == "text" {
			fmt.Fprint(w, v.Text())
			return
		}
	}
	if format == "json" {
		writeJSON(w, v)
		return
	}
	text, err := yaml.Marshal(v)
	if err != nil {
		fail(w, err)
		return
	}
	_, _ = w.Write(text)
}

func fail(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrNotFound):
		code = http.StatusNotFound
	case errors.Is(err, ErrBadRequest):
		code = http.StatusBadRequest
	}
	http.Error(w, err.Error(), code)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client went away; there is nobody to tell
}
