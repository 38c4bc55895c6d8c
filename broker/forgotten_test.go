package broker_test

import (
	"runtime"
	"testing"
	"weak"

	"once/broker"
)

// A closed broker is not kept in memory by the context that it was started with: tests and
// programs start many with one.
func TestClosedBrokerIsForgotten(t *testing.T) {
	b, err := broker.Start(t.Context(), broker.Config{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	closed := weak.Make(b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = nil
	for range 100 {
		if runtime.GC(); closed.Value() == nil {
			return
		}
		runtime.Gosched()
	}
	t.Error("the closed broker is still in memory")
}
