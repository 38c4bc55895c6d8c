package lab

import (
	"net/http"
)

// calls returns the table of all calls.
func (l *Lab) calls() []call {
	table := []call{
		on(http.MethodGet, "/openapi.json", "This description", describeCalls).onProcess(),
	}
	for _, part := range [][]call{clockCalls()} {
		table = append(table, part...)
	}
	return table
}

func describeCalls(x *exchange, _ *none) (any, error) {
	x.began = true
	h := x.writer.Header()
	h.Set("Content-Type", "application/json")
	_, _ = x.writer.Write(x.lab.openAPI)
	return nil, nil
}
