package handlers

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/faults"
	"once/wire"
)

// A request passes the steps of a chain in their order, and each may look at the reply; one that answers by itself is
// the last one.
func TestChainIsPassedInOrder(t *testing.T) {
	var passed []string
	note := func(name string, answers bool) step {
		return func(_ *Services, next handler) handler {
			return func(ctx context.Context, r *wire.Request, row *row) wire.Reply {
				passed = append(passed, name)
				if answers {
					return wire.Reply{Close: true}
				}
				reply := next(ctx, r, row)
				passed = append(passed, fmt.Sprint(name, " saw ", reply.Close))
				return reply
			}
		}
	}
	api := &row{handle: func(*Services, context.Context, *wire.Request) wire.Reply {
		passed = append(passed, "handler")
		return wire.Reply{}
	}}
	for _, tc := range []struct {
		refuses bool
		want    []string
	}{
		{false, []string{"a", "b", "c", "handler", "c saw false", "b saw false", "a saw false"}},
		{true, []string{"a", "b", "a saw true"}},
	} {
		passed = nil
		pass := (&Services{}).link([]step{note("a", false), note("b", tc.refuses), note("c", false)})
		pass(t.Context(), &wire.Request{}, api)
		if !slices.Equal(passed, tc.want) {
			t.Errorf("passed %v, want %v", passed, tc.want)
		}
	}
}

// Requests that no step has to look at pay nothing for the chain.
func TestChainAllocatesNothing(t *testing.T) {
	s := tableServices(t)
	r := &wire.Request{Key: int16(kmsg.Produce), Version: 12, Body: kmsg.NewPtrProduceRequest()}
	s.byKey[r.Key].handle = func(*Services, context.Context, *wire.Request) wire.Reply { return wire.Reply{} }
	check := func(rules string) {
		t.Helper()
		if n := testing.AllocsPerRun(100, func() { s.Handle(t.Context(), r) }); n != 0 {
			t.Errorf("%s: %v allocations", rules, n)
		}
	}
	check("no rules")
	s.Faults = faults.New(faults.Options{APIs: FaultAPIs})
	check("none yet")
	for _, m := range []faults.Match{{API: faults.Names{"EndTxn"}}, {ClientID: faults.Names{"other"}}} {
		if _, err := s.Faults.Add(faults.Rule{Match: m, Do: faults.Do{LoseAnswer: true}}); err != nil {
			t.Fatal(err)
		}
	}
	check("rules for others")
}
