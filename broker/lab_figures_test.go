package broker_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// The figures of the lab over HTTP, with one client on the same machine.
//
//	go test ./broker -run xxx -bench Lab
//
// places are where the files of a broker are.
func places(b *testing.B) map[string]brokertest.Option {
	return map[string]brokertest.Option{
		"memory":    brokertest.WithMemory,
		"ephemeral": func(*broker.Config) {},
		"disk":      func(c *broker.Config) { c.DataDir = b.TempDir() },
	}
}

// benchLab is a broker with its lab.
type benchLab struct {
	*brokertest.Broker
	b *testing.B
}

func startBenchLab(b *testing.B, on brokertest.Option) benchLab {
	return benchLab{brokertest.Start(b, on, func(c *broker.Config) { c.Admin = "127.0.0.1:0" }), b}
}

func (l benchLab) ask(method, path, body string) (answer []byte) {
	l.b.Helper()
	r, err := http.NewRequest(method, "http://"+l.AdminAddr()+path, strings.NewReader(body))
	if err != nil {
		l.b.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		l.b.Fatal(err)
	}
	answer, err = io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode/100 != 2 {
		l.b.Fatalf("%s %s: %s %s %v", method, path, resp.Status, answer, err)
	}
	return answer
}

// report reports the median and the longest of some times.
func report(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms/median")
	b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "ms/longest")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLabReset is a reset of a hundred topics with a record each.
func BenchmarkLabReset(b *testing.B) {
	for name, on := range places(b) {
		b.Run(name, func(b *testing.B) {
			l := startBenchLab(b, on)
			client := kafkatest.Connect(b, l.Addr())
			var topics []string
			for i := range 100 {
				topics = append(topics, fmt.Sprintf(`{"name": "topic-%d", "records": [{"value": "x"}]}`, i))
			}
			body := "[" + strings.Join(topics, ",") + "]"
			var times []time.Duration
			for b.Loop() {
				l.ask("POST", "/v1/topics", body)
				client.Ends("topic-99", 0)
				began := time.Now()
				l.ask("POST", "/v1/reset", "")
				times = append(times, time.Since(began))
			}
			report(b, times)
		})
	}
}

// BenchmarkLabCluster is a cluster of its own: made, a topic created in it, a record produced and read, and dropped.
func BenchmarkLabCluster(b *testing.B) {
	for name, on := range places(b) {
		b.Run(name, func(b *testing.B) {
			l := startBenchLab(b, on)
			var times []time.Duration
			for b.Loop() {
				began := time.Now()
				var made madeCluster
				if err := json.Unmarshal(l.ask("POST", "/v1/clusters", `{"name": "one"}`), &made); err != nil {
					b.Fatal(err)
				}
				conn, err := kafkatest.Dial(made.Bootstrap)
				if err != nil {
					b.Fatal(err)
				}
				client := kafkatest.Must(b, conn)
				client.CreateTopic("t", 1, nil)
				client.Append(one(0, "x"))
				if values, _, _ := client.Consume("t", 0, 0, true); len(values) != 1 {
					b.Fatal(values)
				}
				conn.Close()
				l.ask("DELETE", "/v1/clusters/one", "")
				times = append(times, time.Since(began))
			}
			report(b, times)
		})
	}
}

// BenchmarkLabClusters is the memory that 64 empty clusters take, above one.
func BenchmarkLabClusters(b *testing.B) {
	for name, on := range places(b) {
		b.Run(name, func(b *testing.B) {
			l := startBenchLab(b, on)
			before := inUse()
			for b.Loop() {
				for i := range 64 {
					l.ask("POST", "/v1/clusters", fmt.Sprintf(`{"name": "c%d"}`, i))
				}
				b.ReportMetric(float64(int64(inUse())-int64(before))/(1<<20), "MiB")
				for i := range 64 {
					l.ask("DELETE", fmt.Sprintf("/v1/clusters/c%d", i), "")
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// inUse is the memory of heap and stacks in use.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
