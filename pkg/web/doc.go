// Package web serves what people and machines ask the operator: probes,
// convergence and metrics over HTTP, and the inside of the process over a unix
// socket for the command line (sections 11.6 and 11.7 of the contract).
package web
