// Package invariant checks invariants. A broken one is a bug in this program, never bad input, and stops the process
// before it can write wrong data.
package invariant

import "fmt"

// Broken is the panic value of Check. Code that recovers from panics must let it pass: locks may be held, and the data
// that they guard may be wrong.
type Broken string

func (b Broken) Error() string { return "invariant broken: " + string(b) }

// Check panics with the message when ok is false. Use it for cheap conditions; wrap expensive ones in
// `if invariant.Enabled`.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic(Broken(fmt.Sprintf(format, args...)))
	}
}
