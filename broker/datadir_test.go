package broker_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"once/broker"
	"once/broker/brokertest"
	"once/cluster"
	"once/inspect/inspecttest"
	"once/internal/kafkatest"
	"once/meta"
)

// A data directory that cannot be trusted is refused, with the name of the file that is at fault, and is
// left as it is (spec: reliability P11, F14).

// usedDirectory makes a data directory with records, offsets and a transaction in it. With killed it is
// what a kill leaves.
func usedDirectory(t *testing.T, killed bool) (*killClient, *worked) {
	t.Helper()
	c := newKillClient(t, killArgs)
	b, err := broker.Start(t.Context(), c.config())
	if err != nil {
		t.Fatal(err)
	}
	c.p = &process{addr: b.Addr(), Launched: &kafkatest.Launched{Exited: make(chan struct{})}}
	w := c.work()
	c.hangUp()
	if killed {
		c.dir = copyOf(t, c.dir)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return c, w
}

// config is the configuration of killArgs in a broker of this process.
func (c *killClient) config() broker.Config {
	cfg := broker.Config{DataDir: c.dir}
	values := map[string]string{}
	for _, arg := range c.args {
		if name, value, ok := strings.Cut(arg, "="); ok {
			values[name] = value
		}
	}
	brokertest.WithSettings(c.t, values)(&cfg)
	return cfg
}

// hashes sums up every file of a directory but its lock.
func hashes(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == ".lock" {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			sums[name] = "directory"
			return nil
		}
		content, err := os.ReadFile(path)
		sum := sha256.Sum256(content)
		sums[name] = fmt.Sprint(len(content), " bytes ", hex.EncodeToString(sum[:8]))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// changes are the names whose sums differ.
func changes(before, after map[string]string) (names []string) {
	for name, sum := range before {
		if after[name] != sum {
			names = append(names, fmt.Sprintf("%s: %s, then %q", name, sum, after[name]))
		}
	}
	for name, sum := range after {
		if _, ok := before[name]; !ok {
			names = append(names, fmt.Sprintf("%s: new, %s", name, sum))
		}
	}
	return names
}

func edit(t *testing.T, path string, change func(content []byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(content), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// inMeta changes one record of the metadata, with all checksums: as a broker would that writes nonsense.
func inMeta(t *testing.T, dir, bucket, key string, value []byte) {
	t.Helper()
	s, err := meta.Open(filepath.Join(dir, "meta.db"), meta.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(func(tx meta.Tx) error { return tx.Put(meta.Bucket(bucket), key, value) })
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// underMeta changes one value of the metadata without its checksum.
func underMeta(t *testing.T, dir, bucket, key string, value []byte) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o644, &bolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucket)).Put([]byte(key), value) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

type damage struct {
	name  string
	does  func(t *testing.T, dir string)
	names string // must stand in the error
}

// The record of a topic.
const (
	someID    = `"id":[1,2,3,4,5,6,64,8,128,10,11,12,13,14,15,16],`
	someShape = `"partitions":2,"created_at_start":1`
)

// rawValue is how a record is stored, with its checksum.
func rawValue(t *testing.T, dir, bucket, key string) (value []byte) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o644, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		value = slices.Clone(tx.Bucket([]byte(bucket)).Get([]byte(key)))
		return nil
	})
	if err != nil || value == nil {
		t.Fatalf("%s: %v", key, err)
	}
	return value
}

func metaDamages() []damage {
	meta := func(change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) { edit(t, filepath.Join(dir, "meta.db"), change) }
	}
	return []damage{
		{"metadata cut in half", meta(func(b []byte) []byte { return b[:len(b)/2] }), "meta.db"},
		{"metadata cut to a byte", meta(func(b []byte) []byte { return b[:1] }), "meta.db"},
		{"metadata cut behind its header", meta(func(b []byte) []byte { return b[:8192] }), "meta.db"},
		{"metadata empty", meta(func(b []byte) []byte { return nil }), "meta.db"},
		{"metadata zeroed", meta(func(b []byte) []byte { clear(b); return b }), "meta.db"},
		{"metadata pages zeroed", meta(func(b []byte) []byte { clear(b[2*os.Getpagesize():]); return b }), "meta.db"},
		{"first head of the metadata damaged", meta(func(b []byte) []byte { b[60] ^= 1; return b }), "meta.db, page 0"},
		{"second head of the metadata damaged",
			meta(func(b []byte) []byte { b[os.Getpagesize()+60] ^= 1; return b }), "meta.db, page 1"},
		{"metadata overwritten", meta(func(b []byte) []byte { return seeded(len(b), 1) }), "meta.db"},
		{"metadata missing", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "meta.db")); err != nil {
				t.Fatal(err)
			}
		}, "meta.db"},
		{"metadata of the next format", func(t *testing.T, dir string) {
			underMeta(t, dir, "cluster", "format version", binary.BigEndian.AppendUint32(nil, 3))
		}, "format version"},
		{"value without a checksum", func(t *testing.T, dir string) {
			underMeta(t, dir, "cluster", "starts", make([]byte, 8))
		}, `record "starts"`},
		{"value with the checksum of another", func(t *testing.T, dir string) {
			underMeta(t, dir, "topics", "x", rawValue(t, dir, "topics", "__consumer_offsets"))
		}, `record "x": the checksum`},
		{"cluster ID broken", func(t *testing.T, dir string) {
			inMeta(t, dir, "cluster", "cluster id", []byte("AAAA"))
		}, "cluster ID"},
		{"count of starts too high", func(t *testing.T, dir string) {
			inMeta(t, dir, "cluster", "starts", []byte{0, 0, 0, 0, 0x80, 0, 0, 0})
		}, `"starts"`},
		{"count of starts broken", func(t *testing.T, dir string) { inMeta(t, dir, "cluster", "starts", []byte{1, 2, 3}) },
			"meta.db"},
		{"topic record broken", func(t *testing.T, dir string) { inMeta(t, dir, "topics", "x", []byte("{")) }, `"x"`},
		{"topic configuration impossible", func(t *testing.T, dir string) {
			inMeta(t, dir, "topics", "later", []byte(`{`+someID+someShape+`,"overrides":{"segment.bytes":"many"}}`))
		}, "segment.bytes=many"},
		{"topic configuration not as it is stored", func(t *testing.T, dir string) {
			inMeta(t, dir, "topics", "later", []byte(`{`+someID+someShape+`,"overrides":{"retention.ms":"-0"}}`))
		}, `retention.ms="-0"`},
		{"topic record not as it is written", func(t *testing.T, dir string) {
			inMeta(t, dir, "topics", "later", []byte(`{`+someID+`"Partitions":2,"created_at_start":1}`))
		}, "not as it was written"},
		{"topic ID that was never given", func(t *testing.T, dir string) {
			inMeta(t, dir, "topics", "later", []byte(`{"id":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1],`+someShape+`}`))
		}, "topic id 00000000000000000000000000000001"},
	}
}

func barrierDamages() []damage {
	both := func(change func(b []byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			files, err := filepath.Glob(filepath.Join(dir, "barrier*"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no barrier records: %v", err)
			}
			for _, file := range files {
				if change == nil {
					if err := os.Remove(file); err != nil {
						t.Fatal(err)
					}
					continue
				}
				edit(t, file, change)
			}
		}
	}
	return []damage{
		{"barrier records missing", both(nil), "barrier"},
		{"barrier records empty", both(func([]byte) []byte { return nil }), "barrier"},
		{"barrier records zeroed", both(func(b []byte) []byte { clear(b); return b }), "barrier"},
		{"barrier records cut", both(func(b []byte) []byte { return b[:len(b)/2] }), "barrier"},
		{"barrier records with a wrong byte", both(func(b []byte) []byte { b[20] ^= 1; return b }), "barrier"},
		{"barrier records of the next format", both(func(b []byte) []byte { b[5]++; return b }), "barrier"},
	}
}

func TestDirectoryThatCannotBeTrustedIsRefused(t *testing.T) {
	for _, killed := range []bool{false, true} {
		used, _ := usedDirectory(t, killed)
		c := inspecttest.NewCopy(t, used.dir)
		for _, d := range append(metaDamages(), barrierDamages()...) {
			t.Run(fmt.Sprintf("%s, killed %v", d.name, killed), func(t *testing.T) {
				dir := c.Restore()
				d.does(t, dir)
				before := hashes(t, dir)
				b, err := broker.Start(context.Background(), broker.Config{DataDir: dir})
				if err == nil {
					_ = b.Close()
					t.Fatal("it was taken")
				}
				if !errors.Is(err, cluster.ErrStorage) || !strings.Contains(err.Error(), d.names) {
					t.Errorf("the error is %q, which should be about storage and name %s", err, d.names)
				}
				if changed := changes(before, hashes(t, dir)); len(changed) > 0 {
					t.Errorf("changed:\n%s", strings.Join(changed, "\n"))
				}
			})
		}
	}
}

// What can be made again from the rest is not needed (P10), and neither is the older barrier record.
func TestDirectoryWithoutDerivedFiles(t *testing.T) {
	remove := func(patterns ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, pattern := range patterns {
				files, err := filepath.Glob(filepath.Join(dir, "*", pattern))
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range files {
					if err := os.Remove(file); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	oneBarrier := func(which int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			files, err := filepath.Glob(filepath.Join(dir, "barrier*"))
			if err != nil || len(files) != 2 {
				t.Fatalf("barrier records %v, %v", files, err)
			}
			edit(t, files[which], func(b []byte) []byte { b[20] ^= 1; return b })
		}
	}
	for _, killed := range []bool{false, true} {
		used, w := usedDirectory(t, killed)
		whole := inspecttest.NewCopy(t, used.dir)
		for _, d := range []damage{
			{name: "no indexes", does: remove("*.index", "*.timeindex")},
			{name: "no snapshots", does: remove("*.snapshot")},
			{name: "no list of aborted transactions", does: remove("*.txnindex", "txnindex-checkpoint")},
			{name: "nothing that is derived", does: remove("*.index", "*.timeindex", "*.txnindex", "*.snapshot",
				"txnindex-checkpoint", "leader-epoch-checkpoint")},
			{name: "empty indexes", does: func(t *testing.T, dir string) {
				files, _ := filepath.Glob(filepath.Join(dir, "*", "*index"))
				for _, file := range files {
					edit(t, file, func([]byte) []byte { return nil })
				}
			}},
			{name: "first barrier record damaged", does: oneBarrier(0)},
			{name: "second barrier record damaged", does: oneBarrier(1)},
		} {
			t.Run(fmt.Sprintf("%s, killed %v", d.name, killed), func(t *testing.T) {
				c := newKillClient(t, killArgs)
				c.dir, c.acked, c.committed = whole.Restore(), used.acked, used.committed
				d.does(t, c.dir)
				b, err := broker.Start(t.Context(), c.config())
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				c.p = &process{addr: b.Addr(), Launched: &kafkatest.Launched{Exited: make(chan struct{})}}
				defer c.hangUp()
				c.check(w)
			})
		}
	}
}

// The broker's own state is not guessed at: damage in it stops the start, and its bytes stay.
func TestDirectoryWithDamagedStateIsRefused(t *testing.T) {
	used, _ := usedDirectory(t, false)
	for _, topic := range []string{"__transaction_state-0", "__consumer_offsets-0"} {
		t.Run(topic, func(t *testing.T) {
			dir := copyOf(t, used.dir)
			name := filepath.Join(dir, topic, "00000000000000000000.log")
			edit(t, name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
			damaged, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b, err := broker.Start(t.Context(), broker.Config{DataDir: dir})
			if err == nil {
				_ = b.Close()
				t.Fatal("it was taken")
			}
			if !errors.Is(err, cluster.ErrStorage) || !strings.Contains(err.Error(), topic) {
				t.Errorf("the error is %q", err)
			}
			if now, err := os.ReadFile(name); err != nil || !slices.Equal(now, damaged) {
				t.Errorf("the log has changed: %v", err)
			}
		})
	}
}

func TestDirectoryInUseIsRefused(t *testing.T) {
	base := t.TempDir()
	first, second := filepath.Join(base, "data"), filepath.Join(base, "another name")
	if err := os.Symlink(first, second); err != nil {
		t.Fatal(err)
	}
	b := brokertest.Start(t, brokertest.WithDataDir(first))
	h := &hostile{peer: &peer{t: t, addr: b.Addr(), own: b}}
	h.forget()
	t.Cleanup(h.hangUp)
	h.topic("x")
	for _, dir := range []string{first, second} {
		other, err := broker.Start(t.Context(), broker.Config{DataDir: dir})
		if err == nil {
			_ = other.Close()
			t.Fatal("two brokers share a directory")
		}
		if !errors.Is(err, cluster.ErrStorage) || !strings.Contains(err.Error(), dir) {
			t.Errorf("the error is %q", err)
		}
	}
	if got := h.produceTo(9, -1, nil, part{"x", 0, plainBatch("v")}); got != "x-0 NONE" {
		t.Errorf("the first broker then answers %s", got)
	}
}

// The program says it all in one line of its log, and ends with 3.
func TestDirectoryRefusedEndsTheProgram(t *testing.T) {
	used, _ := usedDirectory(t, false)
	damages := append(metaDamages(), barrierDamages()...)
	for _, d := range []damage{damages[0], damages[5], damages[6], damages[9], damages[len(damages)-1]} {
		t.Run(d.name, func(t *testing.T) {
			dir := copyOf(t, used.dir)
			d.does(t, dir)
			before := hashes(t, dir)
			p := launch(t, dir, "")
			if code := p.ProcessState.ExitCode(); p.addr != "" || code != 3 || !strings.Contains(p.Log.String(), d.names) {
				t.Errorf("exit %d\n%s", code, p.Log.String())
			}
			if changed := changes(before, hashes(t, dir)); len(changed) > 0 {
				t.Errorf("changed:\n%s", strings.Join(changed, "\n"))
			}
		})
	}
}
