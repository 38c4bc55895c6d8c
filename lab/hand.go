package lab

import (
	"context"
	"errors"
	"net/http"
	"time"

	"once/cluster"
	"once/faults"
	"once/groupcoordinator"
	"once/seed"
	"once/txncoordinator"
)

// Expired is the member that was thrown out of its group.
type Expired struct {
	Group  string `json:"group"`
	Member string `json:"member"`
}

// ReloadedCoordinators is what the coordinators have loaded.
type ReloadedCoordinators struct {
	TransactionalIDs int             `json:"transactionalIds"`
	Resumed          []string        `json:"resumed"` // transactional IDs whose markers were owed
	Groups           int             `json:"groups"`
	SharePartitions  int             `json:"sharePartitions"`
	Took             faults.Duration `json:"took"`
}

func handCalls() []call {
	return []call{
		on(http.MethodPost, "/topics", "Make topics with records; those that are there already are left as they are",
			makeTopics),
		on(http.MethodPost, "/transactions/{id}/fence",
			"Do as InitProducerId of a new incarnation: abort the open transaction, raise the epoch", viewing(fence)).changing(),
		on(http.MethodPost, "/transactions/{id}/abort", "Abort the open transaction as its timeout would",
			viewing(abort)).changing(),
		on(http.MethodPost, "/transactions/{id}/hang",
			"Make the coordinator forget an open transaction, whose records stay open", viewing(hang)).changing(),
		on(http.MethodPost, "/coordinators/reload", "Make the coordinators drop their memory and read their logs; they "+
			"answer COORDINATOR_LOAD_IN_PROGRESS meanwhile", viewing(reloadCoordinators)).changing(),
		on(http.MethodPost, "/groups/{id}/rebalance", "Make a group of any type assign anew",
			viewing(rebalance)).changing(),
		on(http.MethodPost, "/groups/{id}/members/{member}/expire", "Treat a member as if its session had timed out",
			viewing(expireMember)).changing(),
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
		_, err := v.Txns.InitProducerID(txncoordinator.InitRequest{TransactionalID: id,
			ProducerID:    txncoordinator.NoProducerID,
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
	if err := endOpen(x, id, v.Txns.Abort); err != nil {
		return Transaction{}, err
	}
	return transactionIn(x.cluster, v, id)
}

// hang answers with the transaction as it was.
func hang(x *exchange, v cluster.View) (Transaction, error) {
	id := x.request.PathValue("id")
	before, err := transactionIn(x.cluster, v, id)
	if err == nil {
		err = endOpen(x, id, v.Txns.Hang)
	}
	return before, err
}

// endOpen calls a function that does something with an open transaction.
func endOpen(x *exchange, id string, do func(transactionalID string) (bool, error)) error {
	done := false
	err := whileConcurrent(x.request.Context(), func() (err error) {
		done, err = do(id)
		return err
	})
	switch {
	case errors.Is(err, txncoordinator.ErrTransactionalIDNotFound):
		return fails(http.StatusNotFound, "there is no transactional ID %q", id)
	case err != nil:
		return err
	case !done:
		return fails(http.StatusConflict, "%q has no open transaction", id)
	}
	return nil
}

func reloadCoordinators(_ *exchange, v cluster.View) (ReloadedCoordinators, error) {
	r, err := v.ReloadCoordinators()
	if err != nil {
		return ReloadedCoordinators{}, fails(http.StatusConflict, "%v", err)
	}
	return ReloadedCoordinators{TransactionalIDs: r.TransactionalIDs, Resumed: append([]string{}, r.Resumed...),
		Groups: r.Groups, SharePartitions: r.SharePartitions, Took: faults.Duration(r.Took)}, nil
}

func rebalance(x *exchange, v cluster.View) (Group, error) {
	id := x.request.PathValue("id")
	ok, err := v.Groups.Rebalance(id)
	switch {
	case err != nil:
		return Group{}, err
	case !ok:
		return Group{}, fails(http.StatusConflict, "there is no group %q with members", id)
	}
	return groupIn(x.request.Context(), v, id)
}

func expireMember(x *exchange, v cluster.View) (Expired, error) {
	e := Expired{x.request.PathValue("id"), x.request.PathValue("member")}
	err := v.Groups.ExpireMember(e.Group, e.Member)
	if errors.Is(err, groupcoordinator.ErrGroupNotFound) || errors.Is(err, groupcoordinator.ErrNoMember) {
		return e, fails(http.StatusNotFound, "there is no member %q of a group %q", e.Member, e.Group)
	}
	return e, err
}
