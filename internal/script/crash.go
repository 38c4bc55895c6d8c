package script

import (
	"errors"
	"strconv"
	"strings"
)

// ErrCrashed is the error of every write of a process that has died.
var ErrCrashed = errors.New("crashed")

// Crash is the death of a process at one of its writes. The argument crash of a command says where: before-KIND or
// after-KIND, with -2 behind it for the second write of that kind. A sweep over all writes counts them instead. The
// kinds are defined by each test. The zero value does not die. The lock of its user guards a Crash.
type Crash struct {
	at     string
	counts map[string]int // writes by kind since At

	sweeping bool
	number   int // of the write that a sweep dies at
	before   bool
	writes   int // that were done

	dead bool
}

// At sets the point at which the process dies; "" means never. A dead process lives again.
func (x *Crash) At(point string) { *x = Crash{at: point, counts: map[string]int{}, writes: x.writes} }

// AtWrite lets the process die at a write by its number, which counts all of them from the first, either before it is
// done or after.
func (x *Crash) AtWrite(number int, before bool) {
	x.sweeping, x.number, x.before = true, number, before
}

// Dead says whether the process has died.
func (x *Crash) Dead() bool { return x.dead }

// Write does a write, or dies before or after it. Every write of a dead process fails.
func (x *Crash) Write(kind string, do func()) error {
	if x.counts == nil {
		x.counts = map[string]int{}
	}
	x.counts[kind]++
	if x.dead || x.dies("before", kind) {
		x.dead = true
		return ErrCrashed
	}
	do()
	if x.dies("after", kind) {
		x.dead = true
		return ErrCrashed
	}
	x.writes++
	return nil
}

func (x *Crash) dies(when, kind string) bool {
	point := when + "-" + kind
	return x.at == point || x.at == point+"-"+strconv.Itoa(x.counts[kind]) ||
		x.sweeping && x.writes == x.number && x.before == (when == "before")
}

// Reply is the output of a command that writes: what was written, then the answer, ok without one, or crashed if the
// process has died.
func (x *Crash) Reply(written []string, answer string) string {
	switch {
	case x.dead:
		answer = "crashed"
	case answer == "":
		answer = "ok"
	}
	return strings.Join(append(written, answer), "\n")
}
