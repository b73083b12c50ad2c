package store

import "maps"

// Scratch is a copy to try things on; what is done to it concerns nobody else.
func (s *Store) Scratch() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &Store{texts: s.texts.scratch(), absent: maps.Clone(s.absent), flags: maps.Clone(s.flags)}
	out.seq.Store(s.seq.Load())
	sections := map[string]*cell{}
	for key, c := range *s.sections.Load() {
		copied := &cell{texts: out.texts}
		copied.now.Store(c.now.Load())
		sections[key] = copied
	}
	out.sections.Store(&sections)
	return out
}
