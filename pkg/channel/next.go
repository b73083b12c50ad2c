package channel

// Next is the one step that the module's releases take. It always answers: a situation that cannot be
// is taken for the nearest one that can.
func Next(s Situation) Step {
	return Step{Track: s.Track}
}
