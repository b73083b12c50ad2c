package store

import "maps"

// Scratch is a copy to try things on; what is done to it concerns nobody else.
func (s *Store) Scratch() *Store {
	out := &Store{sections: make(map[string]*cell, len(s.sections)), texts: s.texts.scratch(), absent: s.absent}
	out.seq.Store(s.seq.Load())
	for key, c := range s.sections {
		copied := &cell{texts: out.texts}
		copied.now.Store(c.now.Load())
		out.sections[key] = copied
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.flags = maps.Clone(s.flags)
	return out
}
