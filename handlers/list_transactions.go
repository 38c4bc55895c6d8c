package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/txncoordinator"
	"once/wire"
)

// ListTransactions v0 to v2. v1 minimum duration (KIP-994), v2 pattern for the ID (KIP-1152).
func (s *Services) listTransactions(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ListTransactionsRequest), response[*kmsg.ListTransactionsResponse](r)
	filter := txncoordinator.ListFilter{States: req.StateFilters, ProducerIDs: req.ProducerIDFilters, DurationMs: -1}
	if r.Version >= 1 {
		filter.DurationMs = req.DurationFilterMillis
	}
	if r.Version >= 2 && req.TransactionalIDPattern != nil {
		filter.Pattern = *req.TransactionalIDPattern
	}
	found, unknownStates, err := s.Txns.List(filter)
	resp.ErrorCode = int16(codeFor(err, r.Key, r.Version))
	resp.UnknownStateFilters = mergeBy(append([]string{}, unknownStates...),
		func(s *string) string { return *s }, func(_, _ *string) {})
	resp.TransactionStates = make([]kmsg.ListTransactionsResponseTransactionState, 0, len(found))
	for i := range found {
		t := kmsg.NewListTransactionsResponseTransactionState()
		t.TransactionalID, t.ProducerID, t.TransactionState = found[i].TransactionalID, found[i].ProducerID,
			found[i].State.String()
		resp.TransactionStates = append(resp.TransactionStates, t)
	}
	return wire.Respond(resp)
}

var failListTransactions = failAtTop(func(r *kmsg.ListTransactionsResponse) (*int16, **string) {
	return &r.ErrorCode, nil
})
