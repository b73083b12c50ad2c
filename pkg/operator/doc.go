// Package operator wires the house together: it is the only package that sees
// both the loop and the edges. Nothing is decided here.
package operator
