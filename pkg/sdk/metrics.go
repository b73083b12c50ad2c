package sdk

// Labels are the labels of a metric. The operator adds hook and module (C-224).
type Labels map[string]string

// Metrics records operations on metrics (C-220 … C-230). Those of a group
// replace everything the group had before (C-227); the others add up (C-228).
type Metrics struct {
	out   *output
	group string
}

// Group is where metrics go that come and go together: each run states all of them.
func (m *Metrics) Group(name string) *Metrics { return &Metrics{m.out, name} }

// Expire removes all metrics of the group, or without one the hook's own.
func (m *Metrics) Expire() { m.sample(sample{Action: "expire"}) }

// ExpireGroup removes all metrics of a group.
func (m *Metrics) ExpireGroup(name string) { m.Group(name).Expire() }

// Set sets a gauge.
func (m *Metrics) Set(name string, value float64, labels Labels) {
	m.sample(sample{Name: name, Action: "set", Value: &value, Labels: labels})
}

// Add adds to a counter.
func (m *Metrics) Add(name string, value float64, labels Labels) {
	m.sample(sample{Name: name, Action: "add", Value: &value, Labels: labels})
}

// Observe counts a value in a histogram, whose buckets are upper bounds, ascending.
func (m *Metrics) Observe(name string, value float64, buckets []float64, labels Labels) {
	m.sample(sample{Name: name, Action: "observe", Value: &value, Buckets: buckets, Labels: labels})
}

type sample struct {
	Name    string    `json:"name,omitempty"`
	Group   string    `json:"group,omitempty"`
	Action  string    `json:"action"`
	Value   *float64  `json:"value,omitempty"`
	Buckets []float64 `json:"buckets,omitempty"`
	Labels  Labels    `json:"labels,omitempty"`
}

func (m *Metrics) sample(s sample) {
	s.Group = m.group
	m.out.line(&m.out.samples, "metric "+s.Name, s)
}
