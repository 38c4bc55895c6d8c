package broker_test

import (
	"os"
	"runtime"
	"strconv"
	"testing"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// resources are what a process has at an instant.
type resources struct {
	goroutines, descriptors int
	heapBytes               uint64
}

func resourcesNow(t *testing.T) (r resources) {
	runtime.GC()
	runtime.GC() // what the first one has finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.goroutines, r.heapBytes = runtime.NumGoroutine(), m.HeapAlloc
	if runtime.GOOS == "linux" {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		r.descriptors = len(open)
	}
	return r
}

// A thousand resets, with topics, records, groups, transactions and waiting clients between them, leave goroutines,
// file descriptors and memory as they were. On disk they are fewer, unless ONCE_RESETS says how many: each makes some
// files.
func TestThousandResets(t *testing.T) {
	onDisk := 250
	if n := os.Getenv("ONCE_RESETS"); n != "" {
		var err error
		if onDisk, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		on     brokertest.Option
		resets int
	}{
		"memory":    {brokertest.WithMemory, 1000},
		"ephemeral": {func(c *broker.Config) { c.InMemory = false }, onDisk},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLab(t, c.on, brokertest.WithSettings(t, map[string]string{
				"lab.requests": "65536", "offsets.topic.num.partitions": "5", "transaction.state.log.num.partitions": "5"}))
			waiting := kafkatest.FetchRequest("t", 0, 0, true)
			waiting.MaxWaitMillis, waiting.MinBytes = 3_600_000, 1000
			waiter, err := kafkatest.Dial(l.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer waiter.Close()
			round := func(i int) {
				if i%10 == 0 {
					l.Quiet().CreateTopic("t", 2, nil)
					l.Append(one(0, "x"))
					p, _ := l.InitProducer("pay")
					l.Produce(p, "t", 1, kafkatest.Values("y")...)
					l.Stage(p, "g", "t", 0, 1)
					l.Join("members")
					id, err := waiter.Send(waiting)
					if err != nil {
						t.Fatal(err)
					}
					l.expect("POST", "/v1/faults", `{"match": {"api": "EndTxn"}, "do": {"hold": true}}`, 201)
					l.expect("POST", "/v1/reset", "", 200)
					if _, err := waiter.Receive(waiting, id); err != nil {
						t.Fatal(err)
					}
				}
				l.expect("POST", "/v1/reset", "", 200)
			}
			for i := range 50 {
				round(i)
			}
			before := resourcesNow(t)
			for i := range c.resets {
				round(i)
			}
			var after resources
			l.until("everything is as it was", func() bool {
				after = resourcesNow(t)
				return after.goroutines <= before.goroutines+2 && after.descriptors <= before.descriptors+2 &&
					after.heapBytes <= before.heapBytes+1<<20 || t.Failed()
			})
			t.Logf("before %+v, after %+v", before, after)
		})
	}
}
