package registry

import (
	"errors"
	"fmt"
)

// Kinds of errors, for errors.Is; IsNotFound and the like ask for them.
var (
	errNotFound  = errors.New("not found")
	errIntegrity = errors.New("not what was asked for")
	errDenied    = errors.New("not allowed")
	errConflict  = errors.New("taken by another")
	errSlow      = errors.New("no complete answer in time")
)

// IsNotFound says that the registry, or the cache, answered that it does not have it.
func IsNotFound(err error) bool { return errors.Is(err, errNotFound) }

// IsIntegrity says that something was there and is not what was asked for: another digest, another kind of artifact, too
// big, or another module than the one that was listed.
func IsIntegrity(err error) bool { return errors.Is(err, errIntegrity) }

// IsDenied says that the registry wants other credentials.
func IsDenied(err error) bool { return errors.Is(err, errDenied) }

// IsConflict says that a tag holds something else than what it was to be moved from, or to.
func IsConflict(err error) bool { return errors.Is(err, errConflict) }

// kindError has a kind that is not part of its text.
type kindError struct {
	kind error
	text string
}

func (e *kindError) Error() string { return e.text }
func (e *kindError) Unwrap() error { return e.kind }

func fail(kind error, format string, args ...any) error {
	return &kindError{kind, fmt.Sprintf(format, args...)}
}
