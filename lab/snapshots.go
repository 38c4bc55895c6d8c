package lab

import (
	"errors"
	"net/http"
	"time"

	"once/cluster"
	"once/faults"
)

// Snapshot is a state that is kept under a name.
type Snapshot struct {
	Name      string           `json:"name"`
	Taken     time.Time        `json:"taken"`
	Clock     time.Time        `json:"clock"` // the instant of the cluster's clock
	SizeBytes int64            `json:"sizeBytes"`
	Took      *faults.Duration `json:"took,omitempty"`
}

func snapshotCalls() []call {
	return []call{
		on(http.MethodGet, "/snapshots", "The snapshots that are kept", func(x *exchange, _ *none) ([]Snapshot, error) {
			all := []Snapshot{}
			kept, err := x.cluster.Snapshots()
			for _, s := range kept {
				all = append(all, snapshotOf(s))
			}
			return all, err
		}),
		on(http.MethodPut, "/snapshots/{name}", "Keep the state of this instant, over all partitions", keepSnapshot),
		on(http.MethodDelete, "/snapshots/{name}", "Drop a snapshot", func(x *exchange, _ *none) (RuleName, error) {
			name := x.request.PathValue("name")
			return RuleName{ID: name}, snapshotError(name, x.cluster.DropSnapshot(name))
		}),
		on(http.MethodPost, "/snapshots/{name}/restore", "Go back to a snapshot", func(x *exchange, _ *none) (Took, error) {
			began, name := time.Now(), x.request.PathValue("name")
			err := snapshotError(name, x.cluster.Restore(name))
			return Took{faults.Duration(time.Since(began))}, err
		}),
	}
}

func snapshotOf(s cluster.Snapshot) Snapshot {
	return Snapshot{Name: s.Name, Taken: s.Taken.UTC(), Clock: s.Clock.UTC(), SizeBytes: s.SizeBytes}
}

func keepSnapshot(x *exchange, _ *none) (Snapshot, error) {
	began, name := time.Now(), x.request.PathValue("name")
	kept, err := x.cluster.KeepSnapshot(name)
	took := faults.Duration(time.Since(began))
	s := snapshotOf(kept)
	s.Took = &took
	return s, snapshotError(name, err)
}

func snapshotError(name string, err error) error {
	switch {
	case errors.Is(err, cluster.ErrNoSnapshot):
		return fails(http.StatusNotFound, "there is no snapshot %q", name)
	case errors.Is(err, cluster.ErrSnapshotName):
		return fails(http.StatusBadRequest, "%v", err)
	case errors.Is(err, cluster.ErrClosed):
		return errDown
	}
	return err
}
