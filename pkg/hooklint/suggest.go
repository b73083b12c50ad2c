package hooklint

import "strings"

// nearest is the one of words that is closest to word, "" when none is close
// enough to be what was meant.
func nearest(word string, words []string) string {
	if len(word) > 64 { // nobody means a word of ours by that
		return ""
	}
	best, at := "", max(2, len(word)/3)+1
	for _, w := range words {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < at {
			best, at = w, d
		}
	}
	if at >= len(best) { // everything would have to be typed anew
		return ""
	}
	return best
}

// distance is how many letters have to be added, removed, replaced or swapped
// with their neighbour to get from a to b.
func distance(a, b string) int {
	two, one, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(one[j]+1, now[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], two[j-2]+1)
			}
		}
		two, one, now = one, now, two
	}
	return one[len(b)]
}
