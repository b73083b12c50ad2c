package metrics

import (
	"errors"
	"fmt"
	"sync"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Hooks holds the metrics that hooks publish. Series of one metric may have
// different labels: the union of names is shown, absent ones as "" (C-225).
// Ungrouped counters accumulate and gauges stay (C-228); a group is replaced as a
// whole by the next run that mentions it (C-227). What one hook may hold is
// bounded: beyond that new series are refused, those that are there go on.
type Hooks struct {
	mu       sync.Mutex
	families map[string]*family
	shares   map[hook.ID]*share
	turn     uint64 // grows with each write
}

// Bounds of what hooks may publish.
const (
	// maxSeries and maxBytes are for one hook over all of its metrics. Bytes are those
	// of names, labels and buckets, not of Go's bookkeeping.
	maxSeries = 10_000
	maxBytes  = 4 << 20
	// maxLabels is the union of the label names of one metric, as every series shows all of them.
	maxLabels  = 64
	maxBuckets = 256
	// maxErrors is how many errors of one run are told in full.
	maxErrors = 10
)

// share is what one hook holds, and how often it was refused more.
type share struct {
	series, bytes int
	refused       uint64
}

// NewHooks returns an empty collection.
func NewHooks() *Hooks {
	return &Hooks{families: map[string]*family{}, shares: map[hook.ID]*share{}}
}

// Apply performs a hook's samples in order. Groups that the samples mention are
// emptied first. A sample that cannot be published is lost, and only that one; the
// error names hook, metric and reason of the first of them: a bad name or label, a
// value that is not finite, a counter that would go down, a name in use with
// another type (C-223), or a bound.
func (h *Hooks) Apply(id hook.ID, samples []hook.Sample) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	groups := map[string]bool{}
	for _, s := range samples {
		if s.Group != "" {
			groups[s.Group] = true
		}
	}
	if len(groups) > 0 {
		h.expire(func(x *series) bool { return groups[x.group] })
	}
	var errs []error
	refused := 0
	for _, s := range samples {
		if s.Action == "expire" {
			if s.Group == "" {
				h.expire(func(x *series) bool { return x.group == "" && x.id == id })
			}
			continue
		}
		if err := h.put(id, s); err != nil {
			if refused++; refused <= maxErrors {
				errs = append(errs, fmt.Errorf("hook %s: metric %q: %w", id, clipped(s.Name), err))
			}
		}
	}
	if refused > maxErrors {
		errs = append(errs, fmt.Errorf("hook %s: %d more metric operations were refused", id, refused-maxErrors))
	}
	if refused > 0 {
		h.share(id).refused += uint64(refused)
	}
	return errors.Join(errs...)
}

func (h *Hooks) put(id hook.ID, s hook.Sample) error {
	if err := valid(s); err != nil {
		return err
	}
	f := h.families[s.Name]
	if f == nil {
		if err := h.suffixes(s); err != nil {
			return err
		}
		f = newFamily(s)
	}
	if f.kind != s.Action {
		return fmt.Errorf("action %q on a %s, which it was made to be by action %q: choose another name", s.Action, kinds[f.kind], f.kind)
	}
	x := newSeries(id, s, len(f.buckets))
	if have := f.series[x.key()]; have != nil {
		x = have
	} else if err := h.admit(f, x); err != nil {
		return err
	}
	if err := x.write(s, f.buckets); err != nil {
		return err
	}
	h.turn++
	x.turn = h.turn
	if f.series[x.key()] == nil {
		h.families[s.Name] = f
		f.add(x)
		mine := h.share(id)
		mine.series++
		mine.bytes += x.size
	}
	return nil
}

// admit says whether there is room for a new series.
func (h *Hooks) admit(f *family, x *series) error {
	mine := h.share(x.id)
	switch {
	case mine.series >= maxSeries:
		return fmt.Errorf("the hook has %d series and no more are kept: use labels with fewer values, or a group, which drops old series", maxSeries)
	case mine.bytes+x.size > maxBytes:
		return fmt.Errorf("names and labels of the hook's series come to %d bytes and no more are kept: use fewer or shorter labels", maxBytes)
	case f.union(x) > maxLabels:
		return fmt.Errorf("its series would have more than %d label names together: use the same few names", maxLabels)
	}
	return nil
}

// suffixes keeps a histogram, which is shown as name_bucket, name_sum and name_count,
// apart from metrics that have one of these names.
func (h *Hooks) suffixes(s hook.Sample) error {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if s.Action == "observe" && h.families[s.Name+suffix] != nil {
			return fmt.Errorf("a histogram shows %s, and there is such a metric already: choose another name", s.Name+suffix)
		}
		if base, ok := cutSuffix(s.Name, suffix); ok && h.families[base] != nil && h.families[base].kind == "observe" {
			return fmt.Errorf("the histogram %s shows a metric of this name already: choose another", base)
		}
	}
	return nil
}

func (h *Hooks) share(id hook.ID) *share {
	if h.shares[id] == nil {
		h.shares[id] = &share{}
	}
	return h.shares[id]
}

// Forget drops every series of an owner's hooks.
func (h *Hooks) Forget(o hook.Owner) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire(func(x *series) bool { return x.id.Owner == o })
	for id := range h.shares {
		if id.Owner == o {
			delete(h.shares, id)
		}
	}
}

// expire drops series. A metric without series is forgotten, and its name is free.
func (h *Hooks) expire(gone func(*series) bool) {
	for name, f := range h.families {
		for key, x := range f.series {
			if !gone(x) {
				continue
			}
			f.drop(key, x)
			mine := h.share(x.id)
			mine.series--
			mine.bytes -= x.size
		}
		if len(f.series) == 0 {
			delete(h.families, name)
		}
	}
}
