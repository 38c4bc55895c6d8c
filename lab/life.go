package lab

import (
	"net/http"
	"time"

	"once/cluster"
	"once/faults"
)

// Reset says what a reset keeps, and whether connections are closed.
type Reset struct {
	Keep       []string `json:"keep"` // topics, or nothing
	Disconnect bool     `json:"disconnect"`
}

// Restart says how a cluster ends before it is opened again.
type Restart struct {
	How     string          `json:"how"` // clean, kill or powerCut
	DownFor faults.Duration `json:"downFor"`
}

// Took says how long a call has taken.
type Took struct {
	Took faults.Duration `json:"took"`
}

// Restarted is what recovery has found.
type Restarted struct {
	TruncatedBytes        int64           `json:"truncatedBytes"`
	TransactionsCompleted []string        `json:"transactionsCompleted"`
	Took                  faults.Duration `json:"took"`
}

var howToStop = map[string]cluster.HowToStop{"clean": cluster.Cleanly, "kill": cluster.ByKill,
	"powerCut": cluster.PowerCut}

func lifeCalls() []call {
	return []call{
		on(http.MethodPost, "/reset", "Empty the cluster", reset).withoutBody(),
		on(http.MethodPost, "/restart", "End the cluster as said, and open it again from its files", restart),
	}
}

func reset(x *exchange, r *Reset) (Took, error) {
	began := time.Now()
	o := cluster.ResetOptions{Disconnect: r.Disconnect}
	for _, kept := range r.Keep {
		if kept != "topics" {
			return Took{}, wrong("keep", "there is no %q; allowed is topics", kept)
		}
		o.KeepTopics = true
	}
	err := x.cluster.Reset(o)
	return Took{faults.Duration(time.Since(began))}, err
}

func restart(x *exchange, r *Restart) (Restarted, error) {
	how, ok := howToStop[r.How]
	switch {
	case !ok:
		return Restarted{}, wrong("how", "must be clean, kill or powerCut")
	case r.DownFor < 0 || time.Duration(r.DownFor) > maxWait:
		return Restarted{}, wrong("downFor", "must be at most %s", maxWait)
	}
	found, err := x.cluster.Restart(x.request.Context(), how, time.Duration(r.DownFor))
	return Restarted{found.TruncatedBytes, append([]string{}, found.TransactionsCompleted...),
		faults.Duration(found.Took)}, err
}
