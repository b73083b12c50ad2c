package converge

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/addon-operator/addon-operator/pkg/status"
)

// unreachable: the API server did not answer, which says nothing of what was asked.
func unreachable(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// ServerBack says that the API server answers again after a time in which it did not:
// what failed for want of an answer is tried at once.
func (l *Loop) ServerBack() {
	for _, st := range l.all() {
		st.mu.Lock()
		var why reason
		if st.unreached && st.attempt == status.Failed {
			why |= becauseRetry
		}
		if st.unreached && st.healthReason != "" {
			why |= becauseDrift
		}
		name := st.desc().Name
		st.mu.Unlock()
		if why != 0 {
			l.keys.add(name, why)
		}
	}
	if l.trouble.unreached() {
		l.keys.add(globalKey, becauseRetry)
	}
}
