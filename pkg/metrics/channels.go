package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/source"
)

// channelMetrics show how release channels are followed and how far releases are.
type channelMetrics struct {
	polled, pollFailed, seq, expires *prometheus.GaugeVec
	pollFailures                     *prometheus.CounterVec
	phase, yanked                    *prometheus.GaugeVec
	rollbacks                        *prometheus.CounterVec
	shown                            *shownChannels
}

// shownChannels is what there are series of.
type shownChannels struct {
	// mu keeps the replacing of series whole.
	mu      sync.Mutex
	sources map[string]bool
	// releases are labels by name of the ModuleRelease.
	releases map[string][]string
}

func newChannelMetrics(f factory) channelMetrics {
	return channelMetrics{
		polled:       f.gauge("source_polled_timestamp_seconds", "When the registry of a source last answered, as Unix time.", "source", "channel"),
		pollFailed:   f.gauge("source_poll_failed", "1 while the newest poll of a channel has failed, else 0.", "source", "channel"),
		pollFailures: f.counter("source_poll_failures_total", "Polls of a channel that failed.", "source", "channel"),
		seq:          f.gauge("source_document_seq", "Number of the newest document taken of a channel.", "source", "channel"),
		expires:      f.gauge("source_document_expiry_timestamp_seconds", "When the newest document taken of a channel expires, as Unix time; none where it never does.", "source", "channel"),
		phase:        f.gauge("release_phase", "1 for each release on its way, in force or undone.", "module", "version", "source", "channel", "phase", "reason"),
		rollbacks:    f.counter("release_rollbacks_total", "Versions of a module that did harm and were undone.", "module"),
		yanked:       f.gauge("module_yanked_running", "1 while a module runs a version that was yanked, else 0.", "module"),
		shown:        &shownChannels{sources: map[string]bool{}, releases: map[string][]string{}},
	}
}

// Polled counts a poll of a channel that ended at a time.
func (s *Self) Polled(source, channel string, at time.Time, err error) {
	c, of := s.channels, labels(source, channel)
	c.shown.mu.Lock()
	defer c.shown.mu.Unlock()
	c.shown.sources[source] = true
	failures := c.pollFailures.WithLabelValues(of...) // there from the start
	if err != nil {
		c.pollFailed.WithLabelValues(of...).Set(1)
		failures.Inc()
		return
	}
	c.pollFailed.WithLabelValues(of...).Set(0)
	c.polled.WithLabelValues(of...).Set(float64(at.Unix()))
}

// Followed shows the document of a channel that counts from now on.
func (s *Self) Followed(source, channel string, d catalog.Document) {
	c, of := s.channels, labels(source, channel)
	c.shown.mu.Lock()
	defer c.shown.mu.Unlock()
	c.shown.sources[source] = true
	c.seq.WithLabelValues(of...).Set(float64(d.Seq))
	if d.ExpiresAt.IsZero() {
		c.expires.DeleteLabelValues(of...)
		return
	}
	c.expires.WithLabelValues(of...).Set(float64(d.ExpiresAt.Unix()))
}

// KeepSources drops the series of sources that are not named.
func (s *Self) KeepSources(names map[string]bool) {
	c := s.channels
	c.shown.mu.Lock()
	defer c.shown.mu.Unlock()
	for name := range c.shown.sources {
		if names[name] {
			continue
		}
		delete(c.shown.sources, name)
		for _, v := range []vector{c.polled, c.pollFailed, c.pollFailures, c.seq, c.expires} {
			v.DeletePartialMatch(prometheus.Labels{"source": label(name)})
		}
	}
}

// Moved counts a release that was undone.
func (s *Self) Moved(r source.Release, _ source.Phase) {
	if r.Phase == source.RolledBack {
		s.channels.rollbacks.WithLabelValues(labels(r.Module)...).Inc()
	}
}

// Release shows how far a release is. Those that are over without harm are not shown.
func (s *Self) Release(r source.Release) {
	c := s.channels
	c.rollbacks.WithLabelValues(labels(r.Module)...) // there before the first, so that its increase is seen
	c.shown.mu.Lock()
	defer c.shown.mu.Unlock()
	c.drop(r.Name())
	if r.Phase == source.Superseded || r.Phase == source.Skipped {
		return
	}
	of := labels(r.Module, r.Version, r.Source, r.Channel, string(r.Phase), r.Reason)
	c.phase.WithLabelValues(of...).Set(1)
	c.shown.releases[r.Name()] = of
}

// drop removes the series of a release; the lock is held.
func (c channelMetrics) drop(name string) {
	if of, ok := c.shown.releases[name]; ok {
		c.phase.DeleteLabelValues(of...)
		delete(c.shown.releases, name)
	}
}

// KeepReleases drops the series of releases that are not named.
func (s *Self) KeepReleases(names map[string]bool) {
	c := s.channels
	c.shown.mu.Lock()
	defer c.shown.mu.Unlock()
	for name := range c.shown.releases {
		if !names[name] {
			c.drop(name)
		}
	}
}

// YankedRuns shows whether a module runs a version that was yanked.
func (s *Self) YankedRuns(module string, yes bool) {
	v := 0.0
	if yes {
		v = 1
	}
	s.channels.yanked.WithLabelValues(labels(module)...).Set(v)
}

// forget drops what is counted of a module that is gone.
func (c channelMetrics) forget(module string) {
	of := prometheus.Labels{"module": label(module)}
	c.yanked.DeletePartialMatch(of)
	c.rollbacks.DeletePartialMatch(of)
	c.shown.mu.Lock()
	defer c.shown.mu.Unlock()
	for name, labels := range c.shown.releases {
		if labels[0] == label(module) {
			c.drop(name)
		}
	}
}
