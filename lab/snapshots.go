package lab

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"once/cluster"
	"once/faults"
	"once/inspect"
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
		on(http.MethodGet, "/snapshots/{name}/archive", "A snapshot as one file, tar and zstd", getArchive),
		on(http.MethodPut, "/snapshots/{name}/archive", "Keep the snapshot in an archive", putArchive),
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

func getArchive(x *exchange, _ *none) (any, error) {
	name := x.request.PathValue("name")
	if _, _, err := x.cluster.KeptImage(name); err != nil {
		return nil, snapshotError(name, err)
	}
	x.began = true
	x.withoutDeadlines()
	x.writer.Header().Set("Content-Type", "application/zstd")
	x.writer.Header().Set("Content-Disposition", `attachment; filename="`+name+`.tar.zst"`)
	if err := x.cluster.WriteArchive(name, x.writer); err != nil {
		panic(http.ErrAbortHandler) // so that the client sees that it is cut off
	}
	return nil, nil
}

// putArchive reads the body by itself: it is no JSON, and has a limit of its own.
func putArchive(x *exchange, _ *archive) (Snapshot, error) {
	limit := x.cluster.Settings().LabArchiveMaxBytes
	name := x.request.PathValue("name")
	tooLong := fails(http.StatusRequestEntityTooLarge,
		"the archive must not be longer than %d bytes (lab.archive.max.bytes)", limit)
	if x.request.ContentLength > limit {
		return Snapshot{}, tooLong
	}
	if err := x.upload(); err != nil {
		return Snapshot{}, err
	}
	body := http.MaxBytesReader(x.writer, x.request.Body, limit)
	kept, err := x.cluster.ReadArchive(name, body, limit, func(image *cluster.Image) error {
		return CheckImage(image, x.cluster.BootID())
	})
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return Snapshot{}, tooLong
	case errors.Is(err, cluster.ErrArchive):
		return Snapshot{}, fails(http.StatusBadRequest, "%v", err)
	}
	return snapshotOf(kept), snapshotError(name, err)
}

// CheckImage returns an error, which wraps cluster.ErrArchive, when the data directory of an archive cannot be used.
func CheckImage(image *cluster.Image, bootID string) error {
	report, err := inspect.Check(image.FS(), image.Dir(), inspect.Options{BootID: bootID})
	if err == nil {
		err = report.Err()
	}
	if err != nil { // not wrapped: it is about bytes that somebody has sent, and not about this cluster's
		return fmt.Errorf("%w: its data directory cannot be used: %v", cluster.ErrArchive, err)
	}
	return nil
}

// withoutDeadlines lets the request take as long as it takes.
func (x *exchange) withoutDeadlines() {
	controller := http.NewResponseController(x.writer)
	_ = controller.SetReadDeadline(time.Time{})
	_ = controller.SetWriteDeadline(time.Time{})
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
