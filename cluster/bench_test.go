package cluster

import (
	"fmt"
	"path/filepath"
	"testing"

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
