package fault

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Parse reads a rule from its short form, POINT=ACTION, or POINT=ACTION@N for the N-th time only. The actions are kill,
// hold, error, offline, and delay:DURATION.
func Parse(text string) (Rule, error) {
	name, action, ok := strings.Cut(text, "=")
	if !ok {
		return Rule{}, fmt.Errorf("fault: %q is not of the form POINT=ACTION", text)
	}
	point, err := PointOf(name)
	if err != nil {
		return Rule{}, fmt.Errorf("fault: %q: %w", text, err)
	}
	r := Rule{Point: point}
	action, times, counted := strings.Cut(action, "@")
	if counted {
		n, err := strconv.Atoi(times)
		if err != nil || n < 1 {
			return Rule{}, fmt.Errorf("fault: %q: the count must be above 0", text)
		}
		r.Fires = Nth(n)
	}
	kind, argument, _ := strings.Cut(action, ":")
	switch kind {
	case "kill":
		r.Do.Kill = true
	case "hold":
		r.Do.Hold = true
	case "offline":
		r.Do.Offline = true
	case "error":
		r.Do.Error = ErrInjected
	case "delay":
		if r.Do.Delay, err = time.ParseDuration(argument); err != nil {
			return Rule{}, fmt.Errorf("fault: %q: %w", text, err)
		}
	default:
		return Rule{}, fmt.Errorf("fault: %q: %q is no action", text, kind)
	}
	if kind != "delay" && strings.Contains(action, ":") {
		return Rule{}, fmt.Errorf("fault: %q: %s takes no argument", text, kind)
	}
	return r, r.Check()
}
