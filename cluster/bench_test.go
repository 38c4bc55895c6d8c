package cluster

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"once/log/batch"

	"once/topics"
)

// BenchmarkReset is a reset of a hundred topics, all of which hold a record.
func BenchmarkReset(b *testing.B) {
	for name, env := range map[string]Env{"memory": InMemory(Env{}), "ephemeral": {NoSync: true}, "disk": {}} {
		b.Run(name, func(b *testing.B) {
			c, err := Open(env, filepath.ToSlash(b.TempDir()))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			raw := produceRequest("x").Topics[0].Partitions[0].Records
			for b.Loop() {
				b.StopTimer()
				for i := range 100 {
					t, err := c.engine().topics.Create(topics.Spec{Name: fmt.Sprint("topic", i), Partitions: 1})
					if err == nil {
						_, err = t.Partitions()[0].AppendClient(append([]byte{}, raw...), 0, 12)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				if err := c.Reset(ResetOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSnapshot is a snapshot of 1 GiB in 16 partitions, and a fork of it.
func BenchmarkSnapshot(b *testing.B) {
	for name, env := range map[string]Env{"memory": InMemory(Env{}), "ephemeral": {NoSync: true}, "disk": {}} {
		dir := filepath.ToSlash(b.TempDir())
		c, err := Open(env, dir+"/original")
		if err != nil {
			b.Fatal(err)
		}
		t, err := c.engine().topics.Create(topics.Spec{Name: "x", Partitions: 16})
		if err != nil {
			b.Fatal(err)
		}
		raw := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, LeaderEpoch: -1,
			TimestampMs: time.Now().UnixMilli()}, batch.Record{Value: make([]byte, 1000_000)})
		for i := range 1024 {
			if _, err := t.Partitions()[i%16].AppendClient(append([]byte{}, raw...), 0, 12); err != nil {
				b.Fatal(err)
			}
		}
		var image *Image
		b.Run(name+"/snapshot", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				if image != nil {
					_ = image.Remove()
				}
				for _, p := range t.Partitions() { // something has been written since the last one
					if _, err := p.AppendClient(append([]byte{}, raw...), 0, 12); err != nil {
						b.Fatal(err)
					}
				}
				if err := c.engine().barrier.Sync(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if image, err = c.Snapshot(); err != nil {
					b.Fatal(err)
				}
			}
		})
		n := 0
		b.Run(name+"/fork", func(b *testing.B) {
			for b.Loop() {
				n++
				fork, err := OpenImage(Env{NoSync: env.NoSync}, fmt.Sprint(dir, "/fork", n), image)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				_ = fork.Kill()
				_ = fork.Close()
				_ = fork.env.FS.RemoveAll(fork.dir)
				b.StartTimer()
			}
		})
		_ = c.Close()
	}
}
