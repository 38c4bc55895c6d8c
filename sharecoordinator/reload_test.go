package sharecoordinator

import (
	"errors"
	"reflect"
	"testing"

	"once/sharepartition/window"
)

// A coordinator that loads again has what its log has. Requests are refused meanwhile, and changes of share partitions
// wait.
func TestReload(t *testing.T) {
	w := newWorld(t)
	if _, err := w.c.Initialize(key, 1, 5); err != nil {
		t.Fatal(err)
	}
	w.write(t, 5, 2, window.Batch{FirstOffset: 5, LastOffset: 6, State: window.Acknowledged, DeliveryCount: 1})
	before, _, err := w.c.Summary(key)
	if err != nil {
		t.Fatal(err)
	}
	persisted := make(chan error, 1)
	w.log.scanning = func() {
		w.log.scanning = nil
		if _, _, err := w.c.Summary(key); !errors.Is(err, ErrLoading) {
			t.Errorf("while it loads: %v", err)
		}
		go func() {
			persisted <- w.c.Persist(key, func() error {
				_, err := w.c.Write(&Write{Key: key, StateEpoch: -1, LeaderEpoch: -1, StartOffset: 7})
				return err
			})
		}()
	}
	if n, err := w.c.ReloadAll(); n != 1 || err != nil {
		t.Errorf("%d share partitions, %v", n, err)
	}
	if err := <-persisted; err != nil {
		t.Error(err)
	}
	after, _, err := w.c.Summary(key)
	if err != nil || after.StartOffset != 7 || after.StateEpoch != before.StateEpoch ||
		after.SnapshotEpoch != before.SnapshotEpoch {
		t.Errorf("%+v, %v; before %+v", after, err, before)
	}

	w.c.Unload(0)
	if _, _, err := w.c.Summary(key); !errors.Is(err, ErrNotCoordinator) {
		t.Errorf("offline: %v", err)
	}
	if n, err := w.c.ReloadAll(); n != 0 || err != nil {
		t.Errorf("a partition that is offline was loaded: %d, %v", n, err)
	}
	if err := w.c.Reload(0); err != nil {
		t.Error(err)
	}
	if again, _, err := w.c.Summary(key); err != nil || !reflect.DeepEqual(again.Batches, after.Batches) ||
		again.StartOffset != 7 {
		t.Errorf("%+v, %v", again, err)
	}
	w.log.batches = append(w.log.batches, []byte("no batch"))
	if err := w.c.Reload(0); err == nil {
		t.Error("a damaged log was loaded")
	}
	if _, _, err := w.c.Summary(key); !errors.Is(err, ErrNotCoordinator) {
		t.Errorf("damaged: %v", err)
	}
}

// While the state of a partition is not loaded, nothing says which of its records are needed: none are deleted.
func TestRecordsStayWhileTheStateIsNotLoaded(t *testing.T) {
	w := newWorld(t)
	if _, err := w.c.Initialize(key, 1, 5); err != nil {
		t.Fatal(err)
	}
	w.write(t, 5, 1, window.Batch{FirstOffset: 5, LastOffset: 5, State: window.Acknowledged, DeliveryCount: 1})
	before := w.state(t)
	w.c.Unload(0)
	w.clock.Advance(2 * DefaultPruneInterval)
	if w.log.start != 0 {
		t.Errorf("offline: the log starts at %d", w.log.start)
	}
	w.log.scanning = func() {
		w.log.scanning = nil
		w.clock.Advance(2 * DefaultPruneInterval)
	}
	if err := w.c.Reload(0); err != nil {
		t.Fatal(err)
	}
	if w.log.start != 0 {
		t.Errorf("while it loads: the log starts at %d", w.log.start)
	}
	w.open(t)
	if after := w.state(t); !reflect.DeepEqual(before, after) {
		t.Errorf("after a restart %+v, before %+v", after, before)
	}
}
