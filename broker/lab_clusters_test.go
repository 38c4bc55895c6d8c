package broker_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/wire"
)

type madeCluster struct{ Name, Bootstrap, ClusterID string }

// The metrics of a cluster have its name, beside those of the default cluster, and go with it.
func TestMetricsOfClusters(t *testing.T) {
	l := startLab(t)
	l.CreateTopic("only-here", 1, nil)
	l.Produce(nil, "only-here", 0, kafkatest.Values("a")...)
	metric := func(line string, present bool) {
		t.Helper()
		status, text := l.ask("GET", "/metrics", "")
		if found := strings.Contains(text, "\n"+line+"\n"); status != 200 || found != present {
			t.Errorf("%s: %d, found %v, want %v", line, status, found, present)
		}
	}
	partitions := func(c string, n int, present bool) {
		t.Helper()
		metric(fmt.Sprintf(`once_partitions{cluster=%q} %d`, c, n), present)
	}
	for _, name := range []string{"a", "b"} {
		var c madeCluster
		l.into("POST", "/v1/clusters", `{"name": "`+name+`"}`, &c)
		client := kafkatest.Connect(t, c.Bootstrap)
		client.CreateTopic("t-"+name, 3, nil)
		client.Produce(nil, "t-"+name, 1, kafkatest.Values("a")...)
		metric(`once_partition_last_stable_offset_lag{cluster="`+name+`",partition="1",topic="t-`+name+`"} 0`, true)
	}
	for range 2 { // labels do not pile up
		metric("once_partitions 103", true)
		partitions("a", 103, true)
		partitions("b", 103, true)
		metric(`once_partition_last_stable_offset_lag{partition="0",topic="only-here"} 0`, true)
	}
	l.expect("DELETE", "/v1/clusters/a", "", 200)
	partitions("a", 103, false)
	partitions("b", 103, true)
	l.expect("POST", "/v1/clusters/b/reset", "", 200)
	partitions("b", 100, true)
	metric("once_partitions 103", true)
}

// Fifty tests at a time, each with a cluster of its own: rules of the same shape, topics of the same name and a reset
// of one do not meet those of another.
func TestClustersOfTheirOwn(t *testing.T) {
	l := startLab(t)
	var all sync.WaitGroup
	for i := range 50 {
		var c madeCluster
		l.into("POST", "/v1/clusters", fmt.Sprintf(`{"name": "test-%d"}`, i), &c)
		all.Go(func() {
			at := "/v1/clusters/" + c.Name
			client := kafkatest.Connect(t, c.Bootstrap)
			client.CreateTopic("t", 1, nil)
			value := fmt.Sprint(i)
			client.Append(one(0, value))
			l.expect("POST", at+"/faults", `{"match": {"api": "Produce"}, "do": {"error": "NOT_LEADER_OR_FOLLOWER"}}`, 201,
				`"id": "f1"`)
			if _, err := client.Quiet().Append(one(0, "refused")); kafkatest.Code(t, err) != int16(wire.NotLeaderOrFollower) {
				t.Errorf("%s: %v", c.Name, err)
			}
			l.expect("GET", at+"/faults", "", 200, `"triggered": 1`)
			l.expect("POST", at+"/clock", `{"advance": "1h"}`, 200)
			if got, _, _ := client.Consume("t", 0, 0, true); len(got) != 1 || got[0] != value {
				t.Errorf("%s has %q", c.Name, got)
			}
			if i%2 == 0 {
				l.expect("POST", at+"/reset", "", 200)
				l.expect("GET", at+"/topics/t", "", 404)
			}
		})
	}
	all.Wait()
	l.expect("GET", "/v1/clock", "", 200, `"offset": "0s"`)
	l.expect("GET", "/v1/clusters", "", 200, `[ { "name": "default"`, `"name": "test-49"`)
	l.expect("POST", "/v1/clusters", `{"name": "test-1"}`, 409, "there is a cluster")
	l.expect("POST", "/v1/clusters", `{"name": "../x"}`, 400, "name must have")
	l.expect("POST", "/v1/clusters", `{"name": "x", "advertised": "y"}`, 400, "HOST:PORT")
	l.expect("POST", "/v1/clusters", `{"name": "x", "from": "none"}`, 404, "no snapshot")
	for i := range 50 {
		l.expect("DELETE", fmt.Sprintf("/v1/clusters/test-%d", i), "", 200)
	}
	l.expect("DELETE", "/v1/clusters/test-1", "", 404)
	l.expect("DELETE", "/v1/clusters/default", "", 409)
	l.expect("GET", "/v1/clusters/test-1/clock", "", 404, "no cluster")
}

// Clusters take their ports from a range, as many as there may be, and tell clients the address that was asked for. One
// that is restarted leaves the connections of others alone.
func TestClustersHavePorts(t *testing.T) {
	port := kafkatest.FreePort(t)
	l := startLab(t, brokertest.WithSettings(t, map[string]string{"clusters.max": "1",
		"clusters.ports": fmt.Sprintf("%d-%d", port, port)}))
	var c madeCluster
	l.into("POST", "/v1/clusters", `{"name": "a", "advertised": "example.org:1234"}`, &c)
	if c.Bootstrap != "example.org:1234" || c.ClusterID == "" {
		t.Errorf("%+v", c)
	}
	client := kafkatest.Connect(t, fmt.Sprintf("127.0.0.1:%d", port))
	r := kmsg.NewPtrMetadataRequest()
	r.Version = 9
	l.expect("PUT", "/v1/clusters/a/advertised", `{"address": "localhost:99"}`, 200)
	l.expect("GET", "/v1/clusters", "", 200, `"name": "a", "bootstrap": "localhost:99"`)
	l.expect("PUT", "/v1/clusters/a/advertised", `{"address": ""}`, 200, `"address": ""`)
	l.expect("GET", "/v1/clusters", "", 200, fmt.Sprintf(`"name": "a", "bootstrap": "127.0.0.1:%d"`, port))
	l.expect("POST", "/v1/clusters", `{"name": "b"}`, 409, "clusters.max")
	l.expect("POST", "/v1/restart", `{"how": "kill"}`, 200)
	client.Answer(r)
	l.reconnect()
	l.expect("POST", "/v1/clusters/a/restart", `{"how": "kill"}`, 200)
	l.Answer(r)
}

// A snapshot is the state of an instant: what comes later is gone when it is restored, open transactions are aborted,
// nobody who wrote before can write on, and the clock goes on there. A cluster can be made from it.
func TestSnapshotIsRestored(t *testing.T) {
	for name, options := range map[string][]brokertest.Option{
		"memory": nil,
		"disk":   {func(c *broker.Config) { c.InMemory, c.DataDir = false, t.TempDir() }},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLab(t, options...)
			l.Append(one(0, "before"))
			done, _ := l.InitProducer("done")
			l.Produce(done, "t", 0, kafkatest.Values("committed")...)
			l.Client.End(done, true)
			open, _ := l.InitProducer("open")
			l.Produce(open, "t", 0, kafkatest.Values("open")...)
			l.Commit("g", "t", 0, 2, "")
			l.expect("POST", "/v1/clock", `{"advance": "1m"}`, 200)
			l.expect("PUT", "/v1/snapshots/one", "", 200, `"name": "one"`, `"sizeBytes": `)
			l.expect("PUT", "/v1/snapshots/one", "", 200) // again
			l.expect("GET", "/v1/snapshots", "", 200, `"name": "one"`)
			l.expect("PUT", "/v1/snapshots/.x", "", 400)
			id := l.Cluster().ID()

			l.Client.End(open, true)
			l.Append(one(0, "after"))
			l.Commit("g", "t", 0, 5, "")
			l.CreateTopic("late", 1, nil)
			l.expect("POST", "/v1/clock", `{"advance": "1h"}`, 200)
			l.expect("POST", "/v1/faults", `{"match": {"api": "EndTxn"}, "do": {"hold": true}}`, 201)
			l.expect("POST", "/v1/snapshots/one/restore", "", 200, `"took"`)

			l.values(0, "before", "committed")
			l.expect("GET", "/v1/topics/late", "", 404)
			l.expect("GET", "/v1/faults", "", 200, "[]")
			if _, clock := l.ask("GET", "/v1/clock", ""); strings.Contains(clock, `"offset": "1h`) ||
				strings.Contains(clock, `"offset": "0s"`) {
				t.Error(clock) // it goes on a minute ahead, less what has passed since
			}
			l.expect("GET", "/v1/groups/g", "", 200, `"committed": 2`)
			l.expect("GET", "/v1/transactions/open", "", 200, `"state": "CompleteAbort"`)
			if got := l.Cluster().ID(); got != id {
				t.Errorf("cluster ID %s, was %s", got, id)
			}
			for _, p := range []*kafkatest.Producer{done, open} {
				if _, err := l.Quiet().Produce(p, "t", 0, kafkatest.Values("late")...); err == nil {
					t.Errorf("%s writes on", p.TransactionalID)
				}
			}
			again, _ := l.InitProducer("done")
			if again.ProducerID <= open.ProducerID {
				t.Errorf("producer ID %d after %d", again.ProducerID, open.ProducerID)
			}
			l.Produce(again, "t", 0, kafkatest.Values("again")...)
			l.Client.End(again, true)
			l.values(0, "before", "committed", "again")

			var c madeCluster
			l.into("POST", "/v1/clusters", `{"name": "fork", "from": "one"}`, &c)
			if got, _, _ := kafkatest.Connect(t, c.Bootstrap).Consume("t", 0, 0, true); len(got) != 2 || c.ClusterID == id {
				t.Errorf("%q in %+v", got, c)
			}
			l.expect("POST", "/v1/reset", "", 200)
			l.expect("POST", "/v1/restart", `{"how": "kill"}`, 200)
			l.expect("POST", "/v1/snapshots/one/restore", "", 200)
			l.values(0, "before", "committed")
			l.expect("DELETE", "/v1/snapshots/one", "", 200)
			l.expect("DELETE", "/v1/snapshots/one", "", 404)
			l.expect("POST", "/v1/snapshots/one/restore", "", 404)
		})
	}
}

// A connection that a cluster has accepted, and that waits to be served because there were too many, ends with the
// cluster.
func TestRemovedClusterLeavesNoConnection(t *testing.T) {
	t.Parallel() // it waits
	l := startLab(t, brokertest.WithSettings(t, map[string]string{"max.connection.creation.rate": "1"}))
	var c madeCluster
	l.into("POST", "/v1/clusters", `{"name": "a"}`, &c)
	all := make([]*kafkatest.Conn, 15) // those after the tenth wait
	for i := range all {
		var err error
		if all[i], err = kafkatest.Dial(c.Bootstrap); err != nil {
			t.Fatal(err)
		}
		defer all[i].Close()
	}
	if _, err := all[9].Request(apiVersions()); err != nil { // the next one is accepted
		t.Fatal(err)
	}
	l.expect("DELETE", "/v1/clusters/a", "", 200)
	for i, conn := range all {
		if err := conn.WaitClosed(); err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}
