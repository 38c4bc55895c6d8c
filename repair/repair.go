// Package repair repairs the data directory of a stopped broker. The valid batches of a damaged segment go into a new
// segment, and the damaged file is moved aside. inspect makes the plan and log/salvage carries it out; this package
// prints the plan before anything is changed, and what was done.
//
// The command repair calls it, and tests.
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
	Yes        bool     // carry out the plan; else Run only prints it
	Inspect    inspect.Options
}

// Run prints the plan of a repair to w, and carries it out with Options.Yes. It returns inspect.ErrDamaged while damage
// is left, and inspect.ErrInUse or inspect.ErrUnreadable if the directory cannot be checked.
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
