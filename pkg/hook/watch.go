package hook

// Watch is the running monitor of one kubernetes binding (section 3.4 of the
// contract). Its methods may be called from any goroutine.
type Watch interface {
	// Snapshot is every matching object, ordered by namespace and name (C-134).
	// Buffered events that it already shows are dropped (C-153).
	Snapshot() []Item
	// Peek is for people who look on: it drops nothing.
	Peek() Held
	// Unlock lets events flow, buffered ones first (C-153).
	Unlock()
	// Stop ends the monitor; no handler is called after it returned.
	Stop()
}

// Held is what a monitor has, and what happened to it (C-482).
type Held struct {
	// Kind is that of the binding, as the API server spells it where it is served.
	Kind  string
	Items []Item
	// SinceStart counts from the start of the monitor, SinceRun from the newest Snapshot.
	SinceStart, SinceRun Operations
}

// Operations counts what happened to the objects of a monitor.
type Operations struct {
	// Count is how many objects there are now.
	Count int `json:"count"`
	// Added, Deleted and Modified count changes of what the binding keeps, those
	// included that it does not listen to.
	Added    int `json:"added"`
	Deleted  int `json:"deleted"`
	Modified int `json:"modified"`
	// Cleaned counts objects that were dropped because they are not watched any more.
	Cleaned int `json:"cleaned"`
}

// WatchHandler gets what a monitor sees. Calls for one monitor come one at a
// time and must return quickly.
type WatchHandler struct {
	// Account is the ServiceAccount of the operator's namespace that lists and watches; "" is the operator itself.
	Account string
	// Event is a change that the binding listens to (C-124, C-145).
	Event func(WatchEvent, Item)
	// Room, which may be nil, is asked before Event: nil says that Event may be
	// called, otherwise Room is asked again when the channel is closed. What waits
	// meanwhile is bounded: from 1,000 events on those of one object are merged, so
	// that the newest state stays and no deletion is lost. A lane that is stuck thus
	// needs no more memory than the objects there are. Without Room all events are
	// delivered at once.
	Room func() <-chan struct{}
	// Appeared says that the kind, absent when the monitor started, is now
	// served and listed: the binding's Synchronization is due, and events are locked again.
	Appeared func()
	// Failed is an error that the monitor goes on trying to get over; nil when it did.
	Failed func(error)
}
