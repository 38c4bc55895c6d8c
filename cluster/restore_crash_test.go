package cluster

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"testing"

	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/crashtest"
	"once/internal/vfs"
)

// A restore that is cut off at any operation of its file system is a restore or none, and the next start finishes it:
// there is the state of before with everything that was acknowledged, or that of the snapshot.
func TestRestoreSurvivesDeathAtEveryOperation(t *testing.T) {
	powerCuts := 2
	if crashtest.Sampled() {
		powerCuts = 20
	}
	restored, before := 0, 0
	for n, fired := 0, true; fired; n++ {
		for i := range 1 + powerCuts {
			var isRestored bool
			t.Run(fmt.Sprintf("operation %d, power cut %d", n, i), func(t *testing.T) {
				fired, isRestored = dieInRestore(t, n, i)
			})
			if isRestored {
				restored++
			} else {
				before++
			}
		}
	}
	if restored < 5 || before < 5 {
		t.Errorf("%d were restored, %d as before", restored, before)
	}
}

// dieInRestore dies at an operation of a restore, and says whether it came to that, and whether the next start has the
// state of the snapshot. From cut 1 on the power is cut.
func dieInRestore(t *testing.T, operation, cut int) (fired, restored bool) {
	disk := vfs.NewCrashable(int64(100*operation + cut))
	dying := vfs.DieAt(1<<30, disk)
	c := opened(t, Env{FS: dying, Metadata: MetadataOn(dying), BootID: "one"})
	clusterID := c.engine().identity.clusterID
	conn := connect(t, c)
	conn.CreateTopic("x", 2, nil)
	conn.produce("x")
	if _, err := c.KeepSnapshot("s"); err != nil {
		t.Fatal(err)
	}
	conn.CreateTopic("y", 1, nil)
	conn.produce("x")
	conn.produce("y")
	if err := c.engine().barrier.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	disk.SyncAll() // a snapshot is not synced: what is looked at here is the restore
	dying.Arm(operation)
	err := c.Restore("s")
	if fired = dying.Fired(); fired == (err == nil) && err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	left, boot := disk.Clone(), "one"
	if cut > 0 {
		left, boot = disk.CrashClone(), "two"
	}
	requireCheckWaits(t, left, boot)
	after := opened(t, Env{FS: left, Metadata: MetadataOn(left), BootID: boot})
	if after.engine().identity.clusterID != clusterID {
		t.Error("another cluster ID")
	}
	x, y := records(after, "x"), records(after, "y")
	restored = x == 1 && y == -1
	if !restored && (x != 2 || y != 1 || err == nil) {
		t.Errorf("%d records of x, %d of y; the restore: %v", x, y, err)
	}
	if err := after.Close(); err != nil {
		t.Error(err)
	}
	inspecttest.RequireCleanOn(t, left, "data", inspect.Options{BootID: boot})
	if names := ownDirectories(t, left); !slices.Equal(names, []string{snapshotsDirectory}) {
		t.Errorf("%q are left", names)
	}
	return fired, restored
}

// requireCheckWaits fails the test if a check looks at a directory whose restore the next start finishes.
func requireCheckWaits(t *testing.T, disk vfs.FS, bootID string) {
	t.Helper()
	isUnfinished := func(name string) bool { return isNumbered(restoreDirectory, name) }
	_, err := inspect.Check(disk, "data", inspect.Options{BootID: bootID})
	if slices.ContainsFunc(ownDirectories(t, disk), isUnfinished) && !errors.Is(err, inspect.ErrUnreadable) {
		t.Errorf("a check before the restore is finished: %v", err)
	}
}

func ownDirectories(t *testing.T, disk vfs.FS) []string {
	t.Helper()
	names, err := disk.List("data")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return !isOwnDirectory(name) })
}

// slowRemoval is a file system on which the removal of an image takes as long as a test wants.
type slowRemoval struct {
	vfs.FS
	begun, goOn chan struct{}
}

func (s slowRemoval) RemoveAll(name string) error {
	if isNumbered(imageDirectory, path.Base(name)) {
		s.begun <- struct{}{}
		<-s.goOn
	}
	return s.FS.RemoveAll(name)
}

// The removal of an earlier image, which a start leaves to a goroutine, does not reach an image that is taken
// meanwhile.
func TestRemovalOfAnEarlierImageReachesNoOther(t *testing.T) {
	disk := vfs.NewMem()
	if err := disk.MkdirAll(path.Join("data", numbered(imageDirectory, 1), "x-0")); err != nil {
		t.Fatal(err)
	}
	slow := slowRemoval{disk, make(chan struct{}, 1), make(chan struct{})}
	c := opened(t, Env{FS: slow, Metadata: MetadataOn(disk), BootID: "one"})
	<-slow.begun
	conn := connect(t, c)
	conn.CreateTopic("x", 1, nil)
	conn.produce("x")
	image, err := c.Snapshot()
	close(slow.goOn)
	c.removing.Wait()
	if err != nil {
		t.Fatal(err)
	}
	fork, err := OpenImage(Env{}, "fork", image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fork.Close() })
	if got := records(fork, "x"); got != 1 {
		t.Errorf("%d records of x", got)
	}
}

// After a restore no producer ID and no leader epoch comes a second time that was given between the snapshot and it.
func TestRestoreRepeatsNoNumbers(t *testing.T) {
	c := opened(t, InMemory(Env{}))
	conn := connect(t, c)
	conn.CreateTopic("x", 1, nil)
	if _, err := c.KeepSnapshot("s"); err != nil {
		t.Fatal(err)
	}
	given := int64(-1)
	for i := range 5 {
		given = conn.producer(fmt.Sprint(i)).ProducerID
	}
	for range 3 {
		if err := errors.Join(c.Kill(), c.Reopen()); err != nil {
			t.Fatal(err)
		}
	}
	epoch := leaderEpoch(t, c)
	if err := c.Restore("s"); err != nil {
		t.Fatal(err)
	}
	if after := connect(t, c).producer("b").ProducerID; after <= given {
		t.Errorf("producer ID %d after %d", after, given)
	}
	if after := leaderEpoch(t, c); after <= epoch {
		t.Errorf("leader epoch %d after %d", after, epoch)
	}
}

func leaderEpoch(t *testing.T, c *Cluster) int32 {
	t.Helper()
	p, ok := c.engine().topics.Partition("x", 0)
	if !ok {
		t.Fatal("x is gone")
	}
	return p.LeaderEpoch()
}
