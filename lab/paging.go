package lab

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"once/cluster"
	"once/faults"
	"once/groupcoordinator"
	"once/partition"
	"once/topics"
	"once/txncoordinator"
)

// maxPage is the longest page of a list. Without a limit a list is whole.
const maxPage = 1000

// page sorts a list by name and returns the part of it that the query asks for: of those whose name matches, the limit
// first ones behind after.
func page[T any](x *exchange, all []T, name func(T) string) ([]T, error) {
	if pattern := x.query.Get("name"); pattern != "" {
		all = slices.DeleteFunc(all, func(one T) bool { return !faults.Names{pattern}.Match(name(one)) })
	}
	x.countAll(len(all))
	if after := x.query.Get("after"); after != "" {
		all = slices.DeleteFunc(all, func(one T) bool { return name(one) <= after })
	}
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	return firstOf(x, all)
}

// countAll says how long a list is of which the answer has a page.
func (x *exchange) countAll(n int) { x.writer.Header().Set("X-Total-Count", strconv.Itoa(n)) }

func firstOf[T any](x *exchange, all []T) ([]T, error) {
	limit, err := x.number("limit", int64(len(all)), 1, maxPage)
	if err != nil {
		return nil, err
	}
	return all[:min(int64(len(all)), limit)], nil
}

// part returns limit elements of a list from an index on, all without a limit.
func part[T any](x *exchange, all []T) ([]T, error) {
	from, err := x.number("from", 0, 0, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	return firstOf(x, all[min(from, int64(len(all))):])
}

// listTransactions returns a page of the transactional IDs. With open=true it has those with an open transaction, the
// oldest first.
func listTransactions(x *exchange, v cluster.View) ([]Transaction, error) {
	open, err := x.flag("open")
	if err != nil {
		return nil, err
	}
	brief, err := x.flag("brief")
	if err != nil {
		return nil, err
	}
	listed, err := transactionalIDs(x, v, open)
	if err != nil {
		return nil, err
	}
	all := []Transaction{}
	for _, l := range listed {
		t, err := transactionIn(x.cluster, v, l.TransactionalID)
		if err != nil || open && t.Age == nil {
			continue
		}
		if brief {
			t.Partitions, t.Transitions = []TopicPartition{}, []Transition{}
		}
		all = append(all, t)
	}
	return all, nil
}

func transactionalIDs(x *exchange, v cluster.View, open bool) ([]txncoordinator.Listing, error) {
	listed, _, err := v.Txns.List(txncoordinator.ListFilter{DurationMs: -1})
	if err != nil {
		return nil, err
	}
	id := func(l txncoordinator.Listing) string { return l.TransactionalID }
	if !open {
		return page(x, listed, id)
	}
	listed = openOnly(listed)
	if pattern := x.query.Get("name"); pattern != "" {
		listed = slices.DeleteFunc(listed, func(l txncoordinator.Listing) bool { return !faults.Names{pattern}.Match(id(l)) })
	}
	x.countAll(len(listed))
	return firstOf(x, listed)
}

// openOnly returns the open transactions of a list, the oldest first.
func openOnly(listed []txncoordinator.Listing) []txncoordinator.Listing {
	listed = slices.DeleteFunc(listed, func(l txncoordinator.Listing) bool {
		return l.State.Idle() || l.StartTimestampMs < 0
	})
	slices.SortStableFunc(listed, func(a, b txncoordinator.Listing) int {
		return cmp.Compare(a.StartTimestampMs, b.StartTimestampMs)
	})
	return listed
}

// listTopics returns a page of the topics. With open=true it has those with an open transaction in a partition.
func listTopics(x *exchange, v cluster.View) ([]Topic, error) {
	open, err := x.flag("open")
	if err != nil {
		return nil, err
	}
	brief, err := x.flag("brief")
	if err != nil {
		return nil, err
	}
	wanted, err := x.wantedTopics(open)
	if err != nil {
		return nil, err
	}
	listed := slices.DeleteFunc(slices.Clone(v.Topics.All()), func(t *topics.Topic) bool { return !wanted(t) })
	listed, err = page(x, listed, func(t *topics.Topic) string { return t.Name })
	if err != nil {
		return nil, err
	}
	all := []Topic{}
	for _, t := range listed {
		topic := topicOf(t)
		if brief {
			topic.Partitions = []Partition{}
		}
		all = append(all, topic)
	}
	return all, nil
}

func (x *exchange) wantedTopics(open bool) (func(*topics.Topic) bool, error) {
	internal, err := x.flag("internal")
	if err != nil {
		return nil, err
	}
	either := x.query.Get("internal") == ""
	return func(t *topics.Topic) bool {
		return (either || t.Internal == internal) && (!open || slices.ContainsFunc(t.Partitions(),
			func(p *partition.Partition) bool { return p.OpenTransactions() > 0 }))
	}, nil
}

// listGroups returns a page of the groups. With a topic it has those with an offset of the topic, and no other offsets.
func listGroups(x *exchange, v cluster.View) ([]Group, error) {
	brief, err := x.flag("brief")
	if err != nil {
		return nil, err
	}
	exactLag, err := x.exactLag()
	if err != nil {
		return nil, err
	}
	listed, err := v.Groups.List()
	if err != nil {
		return nil, err
	}
	id := func(l groupcoordinator.Listed) string { return l.GroupID }
	describe := func(l groupcoordinator.Listed) (Group, error) {
		return describeGroup(x.request.Context(), v, l.GroupID, exactLag)
	}
	if topic := x.query.Get("topic"); topic != "" {
		return readersOf(x, topic, slices.SortedFunc(slices.Values(listed), func(a, b groupcoordinator.Listed) int {
			return cmp.Compare(id(a), id(b))
		}), describe)
	}
	if listed, err = page(x, slices.Clone(listed), id); err != nil {
		return nil, err
	}
	all := []Group{}
	for _, l := range listed {
		g, err := describe(l)
		if err != nil {
			continue
		}
		if brief {
			g.Members, g.Offsets = []Member{}, []Offset{}
		}
		all = append(all, g)
	}
	return all, nil
}

// readersOf returns the first groups with an offset of a topic, with those offsets.
func readersOf(x *exchange, topic string, listed []groupcoordinator.Listed,
	describe func(groupcoordinator.Listed) (Group, error)) ([]Group, error) {
	limit, err := x.number("limit", maxPage, 1, maxPage)
	if err != nil {
		return nil, err
	}
	all := []Group{}
	for _, l := range listed {
		g, err := describe(l)
		if err != nil {
			continue
		}
		g.Offsets = slices.DeleteFunc(g.Offsets, func(o Offset) bool { return o.Topic != topic })
		if len(g.Offsets) > 0 {
			g.Members = []Member{}
			all = append(all, g)
		}
		if len(all) == int(limit) {
			break
		}
	}
	return all, nil
}
