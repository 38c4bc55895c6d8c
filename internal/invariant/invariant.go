// Package invariant states what must be true. A broken invariant is a bug in this program, never bad
// input, and stops the process before it can write something wrong.
package invariant

import "fmt"

// Check panics with the message when ok is false. Use it where the test costs a comparison; wrap
// anything dearer in `if invariant.Enabled`.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic("invariant broken: " + fmt.Sprintf(format, args...))
	}
}
