package broker_test

import (
	"strings"
	"testing"

	"once/internal/kafkatest"
)

// A transaction that hangs is counted by a check and is no damage. A snapshot and an archive take it along, and it can
// be aborted wherever it is.
func TestHangingTransactionInAnArchive(t *testing.T) {
	for name, on := range labOn(t) {
		t.Run(name, func(t *testing.T) {
			l := startLab(t, on)
			p, _ := l.InitProducer("pay")
			l.Produce(p, "t", 0, kafkatest.Values("a")...)
			l.Client.End(p, true)
			l.Produce(p, "t", 0, kafkatest.Values("b")...)
			l.expect("POST", "/v1/check", "", 200, `"hanging": 0`)
			l.expect("POST", "/v1/transactions/pay/hang", "", 200)
			hangs := func(l overHTTP) {
				l.t.Helper()
				l.expect("POST", "/v1/check", "", 200, `"hanging": 1, "damage": 0, "warnings": 0, "findings": [ "note file=t-0`,
					`hanging transaction of producer 0 epoch 1, open since offset 2: transactional_id \"pay\" was forgotten while it was open`)
			}
			hangs(l)
			l.expect("POST", "/v1/restart", `{"how": "kill"}`, 200)
			hangs(l)
			l.expect("PUT", "/v1/snapshots/one", "", 200)
			l.expect("POST", "/v1/snapshots/one/restore", "", 200)
			hangs(l)
			status, archive := l.ask("GET", "/v1/snapshots/one/archive", "")
			if status != 200 {
				t.Fatalf("%d %s", status, archive)
			}
			other := startLab(t, on)
			other.expect("PUT", "/v1/snapshots/theirs/archive", archive, 200)
			other.expect("POST", "/v1/snapshots/theirs/restore", "", 200)
			hangs(other)
			other.expect("POST", "/v1/clusters", `{"name": "forked", "from": "theirs"}`, 201)
			_, text := other.ask("POST", "/v1/clusters/forked/check", "")
			if !strings.Contains(text, `"hanging": 1`) {
				t.Error(text)
			}
			other.expect("POST", "/v1/producers/0/abort", `{"topic": "t", "partition": 0}`, 200)
			other.expect("POST", "/v1/check", "", 200, `"hanging": 0, "damage": 0, "warnings": 0`)
			other.values(0, "a")
		})
	}
}
