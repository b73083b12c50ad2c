package web

import (
	"net/http"
	"strconv"
	"strings"
)

// Redacted is next with what it answers as text makes it, piece by piece as next
// writes it. A manifest that is asked for with its secrets has them.
func Redacted(next http.Handler, text func(string) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if showsSecrets(r) {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(&redacted{w, text}, r)
	})
}

type redacted struct {
	http.ResponseWriter
	text func(string) string
}

// Write reports the length of what it was given, as callers expect.
func (w *redacted) Write(p []byte) (int, error) {
	plain := string(p)
	out := w.text(plain)
	if out != plain {
		w.Header().Del("Content-Length")
	}
	if _, err := w.ResponseWriter.Write([]byte(out)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Unwrap is for http.ResponseController.
func (w *redacted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// showsSecrets says that a render is asked for with its secrets.
func showsSecrets(r *http.Request) bool {
	path, _ := split(r.URL.Path)
	secrets, err := strconv.ParseBool(r.URL.Query().Get("secrets"))
	return err == nil && secrets && strings.HasSuffix(path, "/render")
}
