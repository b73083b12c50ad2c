package operator

import (
	"sync/atomic"

	"github.com/addon-operator/addon-operator/pkg/kube"
)

// outage notices from the requests of everybody that the API server was away and answers
// again: what failed for want of an answer need not sit out its backoff.
type outage struct {
	away atomic.Bool
	back atomic.Pointer[func()]
}

// requested is told of every request.
func (o *outage) requested(r kube.Request) {
	if r.Code == 0 {
		o.away.Store(true)
		return
	}
	if o.away.CompareAndSwap(true, false) {
		if back := o.back.Load(); back != nil {
			(*back)()
		}
	}
}
