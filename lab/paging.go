package lab

import (
	"cmp"
	"slices"

	"once/cluster"
	"once/groupcoordinator"
	"once/partition"
	"once/topics"
	"once/txncoordinator"
)

// maxPage is the longest page of a list. Without a limit a list is whole.
const maxPage = 1000

// page sorts a list by name and returns the part of it that the query asks for: the limit first ones behind after.
func page[T any](x *exchange, all []T, name func(T) string) ([]T, error) {
	after := x.query.Get("after")
	if after != "" {
		all = slices.DeleteFunc(all, func(one T) bool { return name(one) <= after })
	}
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	return firstOf(x, all)
}

func firstOf[T any](x *exchange, all []T) ([]T, error) {
	limit, err := x.number("limit", int64(len(all)), 1, maxPage)
	if err != nil {
		return nil, err
	}
	return all[:min(int64(len(all)), limit)], nil
}

// listTransactions returns a page of the transactional IDs. With open=true it has those with an open transaction, the
// oldest first.
func listTransactions(x *exchange, v cluster.View) ([]Transaction, error) {
	open, err := x.flag("open")
	if err != nil {
		return nil, err
	}
	listed, _, err := v.Txns.List(txncoordinator.ListFilter{DurationMs: -1})
	if err != nil {
		return nil, err
	}
	if open {
		listed = slices.DeleteFunc(listed, func(l txncoordinator.Listing) bool { return l.State.Idle() })
	} else if listed, err = page(x, listed, func(
		l txncoordinator.Listing) string {
		return l.TransactionalID
	}); err != nil {
		return nil, err
	}
	all := []Transaction{}
	for _, l := range listed {
		if t, err := transactionIn(x.cluster, v, l.TransactionalID); err == nil && (!open || t.Age != nil) {
			all = append(all, t)
		}
	}
	if !open {
		return all, nil
	}
	slices.SortStableFunc(all, func(a, b Transaction) int { return cmp.Compare(*b.Age, *a.Age) })
	return firstOf(x, all)
}

// listTopics returns a page of the topics. With open=true it has those with an open transaction in a partition.
func listTopics(x *exchange, v cluster.View) ([]Topic, error) {
	open, err := x.flag("open")
	if err != nil {
		return nil, err
	}
	listed := slices.Clone(v.Topics.All())
	if open {
		listed = slices.DeleteFunc(listed, func(t *topics.Topic) bool {
			return !slices.ContainsFunc(t.Partitions(), func(p *partition.Partition) bool { return p.OpenTransactions() > 0 })
		})
	}
	listed, err = page(x, listed, func(t *topics.Topic) string { return t.Name })
	if err != nil {
		return nil, err
	}
	all := []Topic{}
	for _, t := range listed {
		all = append(all, topicOf(t))
	}
	return all, nil
}

func listGroups(x *exchange, v cluster.View) ([]Group, error) {
	listed, err := v.Groups.List()
	if err != nil {
		return nil, err
	}
	if listed, err = page(x, slices.Clone(listed),
		func(l groupcoordinator.Listed) string { return l.GroupID }); err != nil {
		return nil, err
	}
	all := []Group{}
	for _, l := range listed {
		if g, err := groupIn(x.request.Context(), v, l.GroupID); err == nil {
			all = append(all, g)
		}
	}
	return all, nil
}
