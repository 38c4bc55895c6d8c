// Package invariant states what must be true. A broken invariant is a bug in this program, never bad
// input, and stops the process before it can write something wrong.
package invariant

import "fmt"

// Broken is what Check panics with. Whoever recovers from the panics of others lets it pass: locks may be held,
// and what they guard is not what it must be.
type Broken string

func (b Broken) Error() string { return "invariant broken: " + string(b) }

// Check panics with the message when ok is false. Use it where the test costs a comparison; wrap
// anything dearer in `if invariant.Enabled`.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic(Broken(fmt.Sprintf(format, args...)))
	}
}
