// Package hooktest runs one hook by itself: on the objects of a cluster or of
// files, with the values its owner would have, and shows what it asks for
// without doing it.
package hooktest
