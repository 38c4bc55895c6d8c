package lab

import (
	"context"
	"errors"
	"net/http"
	"time"

	"once/cluster"
	"once/groupcoordinator"
	"once/seed"
	"once/txncoordinator"
)

// Expired is the member that was thrown out of its group.
type Expired struct {
	Group  string `json:"group"`
	Member string `json:"member"`
}

func handCalls() []call {
	return []call{
		on(http.MethodPost, "/topics", "Make topics with records; those that are there already are left as they are", makeTopics),
		on(http.MethodPost, "/transactions/{id}/fence", "Do as InitProducerId of a new incarnation: abort the open transaction, raise the epoch", viewing(fence)).changing(),
		on(http.MethodPost, "/transactions/{id}/abort", "Abort the open transaction as its timeout would", viewing(abort)).changing(),
		on(http.MethodPost, "/groups/{id}/members/{member}/expire", "Treat a member as if its session had timed out", viewing(expireMember)).changing(),
	}
}

func (c call) changing() call {
	c.changes = true
	return c
}

func makeTopics(x *exchange, text *[]byte) ([]Topic, error) {
	all, err := seed.ParseJSON(*text)
	if err == nil {
		err = x.cluster.Seed(x.request.Context(), all)
	}
	var mistake *seed.Error
	switch {
	case errors.As(err, &mistake):
		return nil, fails(http.StatusBadRequest, "%v", err)
	case errors.Is(err, cluster.ErrConfig):
		return nil, fails(http.StatusBadRequest, "%v", err)
	case errors.Is(err, cluster.ErrClosed):
		return nil, errDown
	case err != nil:
		return nil, err
	}
	v, ok := x.cluster.View()
	if !ok {
		return nil, errDown
	}
	defer v.End()
	made := []Topic{}
	for _, t := range all {
		if topic, ok := v.Topics.Lookup(t.Name); ok {
			made = append(made, topicOf(topic))
		}
	}
	return made, nil
}

// retryConcurrent is how often a transactional ID that is being changed is asked again.
const retryConcurrent = time.Millisecond

// whileConcurrent repeats do while another request changes the same transactional ID.
func whileConcurrent(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, defaultWait)
	defer cancel()
	for {
		err := do()
		if !errors.Is(err, txncoordinator.ErrConcurrentTransactions) {
			return err
		}
		timer := time.NewTimer(retryConcurrent)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fails(http.StatusConflict, "the last transaction is still being ended: %v", err)
		}
	}
}

func fence(x *exchange, v cluster.View) (Transaction, error) {
	id := x.request.PathValue("id")
	d, err := v.Txns.Describe(id)
	if err != nil {
		return Transaction{}, fails(http.StatusNotFound, "there is no transactional ID %q", id)
	}
	err = whileConcurrent(x.request.Context(), func() error {
		_, err := v.Txns.InitProducerID(txncoordinator.InitRequest{TransactionalID: id, ProducerID: txncoordinator.NoProducerID,
			ProducerEpoch: txncoordinator.NoProducerEpoch, TimeoutMs: d.TimeoutMs})
		return err
	})
	if err != nil {
		return Transaction{}, err
	}
	return transactionIn(x.cluster, v, id)
}

func abort(x *exchange, v cluster.View) (Transaction, error) {
	id := x.request.PathValue("id")
	aborted := false
	err := whileConcurrent(x.request.Context(), func() (err error) {
		aborted, err = v.Txns.Abort(id)
		return err
	})
	switch {
	case errors.Is(err, txncoordinator.ErrTransactionalIDNotFound):
		return Transaction{}, fails(http.StatusNotFound, "there is no transactional ID %q", id)
	case err != nil:
		return Transaction{}, err
	case !aborted:
		return Transaction{}, fails(http.StatusConflict, "%q has no open transaction", id)
	}
	return transactionIn(x.cluster, v, id)
}

func expireMember(x *exchange, v cluster.View) (Expired, error) {
	e := Expired{x.request.PathValue("id"), x.request.PathValue("member")}
	err := v.Groups.ExpireMember(e.Group, e.Member)
	if errors.Is(err, groupcoordinator.ErrGroupNotFound) || errors.Is(err, groupcoordinator.ErrNoMember) {
		return e, fails(http.StatusNotFound, "there is no member %q of a group %q", e.Member, e.Group)
	}
	return e, err
}
