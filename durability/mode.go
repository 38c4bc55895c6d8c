package durability

import "fmt"

// Mode says which answers wait for a barrier (spec: reliability 2.1). A later mode waits for all answers of an earlier
// one.
type Mode uint8

// The modes of --durability.
const (
	Page  Mode = iota // nothing waits; a power cut takes everything back to the last barrier
	Txn               // commits of transactions and offsets wait
	Fsync             // every acknowledged append waits
)

func (m Mode) isKnown() bool { return m <= Fsync }

// String is the mode as in --durability.
func (m Mode) String() string {
	switch m {
	case Page:
		return "page"
	case Txn:
		return "txn"
	case Fsync:
		return "fsync"
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// ParseMode reads a mode as in --durability; an empty one is Page.
func ParseMode(s string) (Mode, error) {
	for m := Page; m.isKnown(); m++ {
		if s == m.String() {
			return m, nil
		}
	}
	if s == "" {
		return Page, nil
	}
	return 0, fmt.Errorf("durability %q, it can be page, txn or fsync", s)
}
