// Package repair mends the data directory of a broker that does not run: what of a damaged segment is whole is put
// into a new one, and the damaged file is moved aside. inspect finds out what can be done, log does it; this package
// says it to people, before anything is changed.
//
// Anyone may call it: the command repair does, and tests.
package repair

import (
	"fmt"
	"io"

	"once/inspect"
	"once/internal/vfs"
	"once/log/salvage"
)

// Options change how Run works. The zero value is fine.
type Options struct {
	Partitions []string // topic-index; none means all
	Yes        bool     // do it; else Run only says what it would do
	Inspect    inspect.Options
}

// Run writes to w what a repair of a data directory does, and does it if that is asked for. It returns
// inspect.ErrDamaged while damage is left, because nothing was asked for or because it cannot be mended, and
// inspect.ErrInUse or inspect.ErrUnreadable where nothing could be found out.
func Run(w io.Writer, under vfs.FS, dir string, o Options) (err error) {
	locked := under
	if !o.Yes {
		locked = vfs.ReadOnly(under)
	}
	lock, err := inspect.Lock(locked, dir)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := lock.Close(); err == nil {
			err = cerr
		}
	}()
	plan, err := inspect.PlanRepair(under, dir, o.Partitions, o.Inspect)
	if err != nil {
		return err
	}
	if err := printPlan(w, &plan); err != nil {
		return err
	}
	if len(plan.Partitions) == 0 || !o.Yes {
		return printOutcome(w, &plan, &plan, false)
	}
	var repairs []*salvage.Repair
	for _, r := range plan.Partitions {
		repairs = append(repairs, r.Repair)
	}
	if err := salvage.Apply(under, dir, repairs); err != nil {
		return fmt.Errorf("the repair was interrupted; it can be run again: %w", err)
	}
	left, err := inspect.PlanRepair(under, dir, o.Partitions, o.Inspect)
	if err != nil {
		return err
	}
	return printOutcome(w, &plan, &left, true)
}
