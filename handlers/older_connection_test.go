package handlers

import (
	"os"
	"strings"
	"testing"
)

// Each name stands in the suite that measures it on the stock client.
func TestSingleConnectionClientsAreMeasured(t *testing.T) {
	suite, err := os.ReadFile("../compat/python/test_connections.py")
	if err != nil {
		t.Fatal(err)
	}
	for name := range singleConnectionClients {
		if !strings.Contains(string(suite), `Client("`+name+`"`) {
			t.Errorf("%s is not measured", name)
		}
	}
}
