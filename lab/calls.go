package lab

import (
	"net/http"
)

// calls returns the table of all calls.
func (l *Lab) calls() []call {
	table := []call{
		on(http.MethodGet, "/openapi.json", "This description", describeCalls).onProcess(),
		on(http.MethodPut, "/advertised", "The address that clients from outside are told from now on", setAdvertised),
	}
	for _, part := range [][]call{faultCalls(), clockCalls(), stateCalls(), awaitCalls(), lifeCalls(), requestCalls(),
		handCalls(), snapshotCalls(), clusterCalls(), verdictCalls(), partitionCalls(), hangingCalls(), findingCalls()} {
		table = append(table, part...)
	}
	return table
}

func describeCalls(x *exchange, _ *none) (any, error) {
	x.began = true
	h := x.writer.Header()
	h.Set("Content-Type", "application/json")
	_, _ = x.writer.Write(x.lab.openAPI())
	return nil, nil
}

// Advertised is the address HOST:PORT at which clients from outside reach a cluster.
type Advertised struct {
	Address string `json:"address"`
}

func setAdvertised(x *exchange, to *Advertised) (Advertised, error) {
	if err := x.lab.Process.SetAdvertised(x.name, to.Address); err != nil {
		return *to, wrong("address", "%v", err)
	}
	return *to, nil
}
