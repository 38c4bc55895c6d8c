package main

import (
	"github.com/spf13/cobra"

	"once/internal/fault"
)

// testFlags are for tests that kill this program. They are not in the help, and have no setting and no variable in the
// environment, so that they are not given by accident.
type testFlags struct {
	faults []string // rules of package fault, POINT=ACTION or POINT=ACTION@N
	bootID string   // in place of the machine's: another one stands for a power cut
}

func (f *testFlags) add(to *cobra.Command) {
	flags := to.Flags()
	flags.StringArrayVar(&f.faults, "inject-fault", nil,
		"arm a fault of the default cluster, `POINT=ACTION[@N]`; repeatable")
	flags.StringVar(&f.bootID, "boot-id", "", "take this for the `ID` of the machine's boot")
	for _, name := range []string{"inject-fault", "boot-id"} {
		flags.Lookup(name).Hidden = true
	}
}

// points returns the points of the default cluster; nil when nothing is armed. A kill is that of the process.
func (f *testFlags) points() (*fault.Points, error) {
	if len(f.faults) == 0 {
		return nil, nil
	}
	points := fault.NewPoints()
	points.KillsProcess()
	for _, text := range f.faults {
		rule, err := fault.Parse(text)
		if err == nil {
			_, err = points.Arm(rule)
		}
		if err != nil {
			return nil, usageError{err}
		}
	}
	return points, nil
}
