package catalog

import "fmt"

// CheckNext says whether the bytes after are a document that may follow the bytes before: the
// same channel, a higher seq, and previous the digest of before.
func CheckNext(before, after []byte) error {
	a, err := Parse(before)
	if err != nil {
		return fmt.Errorf("the document before: %w", err)
	}
	b, err := Parse(after)
	if err != nil {
		return err
	}
	switch {
	case a.Channel != b.Channel:
		return fmt.Errorf("channel document: is of channel %s, the one before of %s", b.Channel, a.Channel)
	case b.Seq <= a.Seq:
		return fmt.Errorf("channel %s: seq %d does not come after %d", b.Channel, b.Seq, a.Seq)
	case b.Previous != Digest(before):
		return fmt.Errorf("channel %s: seq %d names %s as the document before it, and seq %d is %s: one of them was replaced",
			b.Channel, b.Seq, orNone(b.Previous), a.Seq, Digest(before))
	}
	return nil
}

// CheckChain says whether documents, oldest first, each follow the one before.
func CheckChain(documents [][]byte) error {
	for i := 1; i < len(documents); i++ {
		if err := CheckNext(documents[i-1], documents[i]); err != nil {
			return err
		}
	}
	return nil
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
