package main

// expected is a difference that docs/gaps.md lists.
type expected struct {
	row string // how the row of docs/gaps.md begins
	why string
	// matches is asked about a sequence that ends with a difference.
	matches func(done []exchange, last exchange) bool
	// goesOn tells that the two brokers are in the same state afterwards, so that the sequence goes on.
	goesOn bool
}

// expectations are those of a domain.
type expectations []expected

// reasonFor returns the row of docs/gaps.md for the difference at the end of a sequence, or "".
func (all expectations) reasonFor(done []exchange) string {
	for _, x := range all {
		if x.matches(done, done[len(done)-1]) {
			return x.row
		}
	}
	return ""
}

// mayGoOn reports whether the difference at the end of a sequence is expected, and leaves both brokers in one state.
func (all expectations) mayGoOn(done []exchange) bool {
	for _, x := range all {
		if x.goesOn && x.matches(done, done[len(done)-1]) {
			return true
		}
	}
	return false
}
