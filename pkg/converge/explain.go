package converge

import "github.com/addon-operator/addon-operator/pkg/enable"

// voices are those that were asked for the newest decision.
func (st *moduleState) voices() []enable.Voice {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.decision.Voices
}
