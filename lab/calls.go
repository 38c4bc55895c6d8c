package lab

import (
	"errors"
	"net/http"
)

// calls returns the table of all calls.
func (l *Lab) calls() []call {
	table := []call{
		on(http.MethodGet, "/openapi.json", "This description", describeCalls).onProcess(),
		on(http.MethodPut, "/advertised", "The address HOST:PORT that clients from outside are told "+
			"from now on, whatever the settings say; an empty one leaves it to the settings again", setAdvertised),
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

// Advertised is the address HOST:PORT at which clients from outside reach a cluster; "" is none.
type Advertised struct {
	Address *string `json:"address"`
}

func setAdvertised(x *exchange, to *Advertised) (Advertised, error) {
	if to.Address == nil {
		return *to, wrong("address", "is missing")
	}
	switch err := x.lab.Process.SetAdvertised(x.name, *to.Address); {
	case errors.Is(err, ErrNoCluster):
		return *to, clusterError(err)
	case err != nil:
		return *to, wrong("address", "%v", err)
	}
	return *to, nil
}
