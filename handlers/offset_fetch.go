package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability"
	"once/groupcoordinator"
	"once/wire"
)

// OffsetFetch v1 to v10. v2 all partitions by null topics, v5 leader epoch, v6 flexible, v7 require
// stable offsets (KIP-447), v8 several groups, v9 member and epoch (KIP-848), v10 topic IDs.
//
// Classic groups ignore member and epoch.
func (s *Services) offsetFetch(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.OffsetFetchRequest), response[*kmsg.OffsetFetchResponse](r)
	groups := req.Groups
	if r.Version < 8 {
		groups = []kmsg.OffsetFetchRequestGroup{oldOffsetFetch(req)}
	}
	if tooManyOffsets(groups) {
		return s.Fail(r, wire.InvalidRequest, "")
	}
	fetches := make([]*offsetFetching, len(groups))
	ready := true
	for i := range groups {
		fetches[i] = s.beginOffsetFetch(&groups[i], req.RequireStable, r)
		ready = ready && fetches[i].future.Ready()
	}
	shown := s.Barrier.TicketFor(durability.OffsetsShown)
	ready = ready && !shown.Pending()
	finish := func(ctx context.Context) kmsg.Response {
		for _, f := range fetches {
			result, err := f.future.Wait(ctx)
			if err != nil && ctx.Err() != nil {
				return nil
			}
			if err != nil {
				result.Err = err
			}
			resp.Groups = append(resp.Groups, f.answer(&result))
		}
		if shown.Wait(ctx) != nil {
			return nil
		}
		if r.Version < 8 {
			oldOffsetFetchAnswer(resp, &resp.Groups[0], r.Version)
		}
		return resp
	}
	if ready {
		return wire.Respond(finish(context.Background()))
	}
	return wire.Reply{Then: finish}
}

// tooManyOffsets says whether the request names a group, or a partition of one, too often.
func tooManyOffsets(groups []kmsg.OffsetFetchRequestGroup) bool {
	asked := len(groups)
	for i := range groups {
		for j := range groups[i].Topics {
			asked += len(groups[i].Topics[j].Partitions)
		}
	}
	if asked <= maxRepeats {
		return false
	}
	type topic struct {
		group string
		topicKey
	}
	type partition struct{ topic, index int32 }
	ids, topics, partitions := repeats[string]{}, map[topic]int32{}, repeats[partition]{}
	for i := range groups {
		g := &groups[i]
		if ids.tooMany(g.Group) {
			return true
		}
		for j := range g.Topics {
			name := topic{g.Group, topicKey{g.Topics[j].Topic, g.Topics[j].TopicID}}
			number, ok := topics[name]
			if !ok {
				number = int32(len(topics))
				topics[name] = number
			}
			for _, index := range g.Topics[j].Partitions {
				if partitions.tooMany(partition{number, index}) {
					return true
				}
			}
		}
	}
	return false
}

// oldOffsetFetch is the one group of a request before v8.
func oldOffsetFetch(req *kmsg.OffsetFetchRequest) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics == nil {
		return g
	}
	g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
	for i := range req.Topics {
		g.Topics[i] = kmsg.NewOffsetFetchRequestGroupTopic()
		g.Topics[i].Topic, g.Topics[i].Partitions = req.Topics[i].Topic, req.Topics[i].Partitions
	}
	return g
}

// oldOffsetFetchAnswer converts the answer for the one group to the form before v8. In v1 only partitions have errors.
func oldOffsetFetchAnswer(resp *kmsg.OffsetFetchResponse, g *kmsg.OffsetFetchResponseGroup, version int16) {
	resp.ErrorCode = g.ErrorCode
	resp.Topics = make([]kmsg.OffsetFetchResponseTopic, len(g.Topics))
	for i := range g.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = g.Topics[i].Topic
		for _, p := range g.Topics[i].Partitions {
			x := kmsg.NewOffsetFetchResponseTopicPartition()
			x.Partition, x.Offset, x.LeaderEpoch = p.Partition, p.Offset, p.LeaderEpoch
			x.Metadata, x.ErrorCode = p.Metadata, p.ErrorCode
			if version < 2 && g.ErrorCode != 0 {
				x.ErrorCode = g.ErrorCode
			}
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics[i] = t
	}
	resp.Groups = nil
}

// offsetFetching is the state of the fetch of one group.
type offsetFetching struct {
	s      *Services
	r      *wire.Request
	group  *kmsg.OffsetFetchRequestGroup
	all    bool
	asked  []int // for each topic asked of the group: its index in group.Topics
	future *groupcoordinator.Future[groupcoordinator.FetchResult]
}

func (s *Services) beginOffsetFetch(g *kmsg.OffsetFetchRequestGroup, requireStable bool,
	r *wire.Request) *offsetFetching {
	f := &offsetFetching{s: s, r: r, group: g, all: g.Topics == nil}
	fetch := groupcoordinator.FetchRequest{GroupID: g.Group, RequireStable: requireStable, All: f.all, MemberEpoch: -1}
	if r.Version >= 9 {
		fetch.MemberID, fetch.MemberEpoch = g.MemberID, g.MemberEpoch
	}
	for i := range g.Topics {
		t := &g.Topics[i]
		x := groupcoordinator.FetchTopic{Topic: t.Topic, Partitions: t.Partitions}
		if topic, refused := s.offsetTopic(t.Topic, t.TopicID, r.Version >= 10); topic != nil {
			x.Topic, x.TopicID = topic.Name, topic.ID
		} else if refused == wire.UnknownTopicID {
			continue
		}
		fetch.Topics = append(fetch.Topics, x)
		f.asked = append(f.asked, i)
	}
	f.future = s.Groups.FetchOffsets(&fetch)
	return f
}

func (f *offsetFetching) answer(result *groupcoordinator.FetchResult) kmsg.OffsetFetchResponseGroup {
	out := kmsg.NewOffsetFetchResponseGroup()
	out.Group = f.group.Group
	out.ErrorCode = int16(codeFor(result.Err, f.r.Key, f.r.Version))
	out.Topics = []kmsg.OffsetFetchResponseGroupTopic{}
	if f.all {
		for i := range result.Topics {
			f.answerOneOfAll(&out, &result.Topics[i])
		}
		return out
	}
	if result.Err != nil && f.r.Version >= 2 {
		return out
	}
	for i := range f.group.Topics {
		t := &f.group.Topics[i]
		x := kmsg.NewOffsetFetchResponseGroupTopic()
		x.Topic, x.TopicID = t.Topic, t.TopicID
		x.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(t.Partitions))
		for j, partition := range t.Partitions {
			x.Partitions[j] = f.partition(groupcoordinator.FetchedOffset{Partition: partition, Offset: -1, LeaderEpoch: -1})
			x.Partitions[j].ErrorCode = int16(wire.UnknownTopicID)
		}
		out.Topics = append(out.Topics, x)
	}
	for i, at := range f.asked {
		for j := range out.Topics[at].Partitions {
			if result.Err != nil {
				out.Topics[at].Partitions[j].ErrorCode = out.ErrorCode
				continue
			}
			out.Topics[at].Partitions[j] = f.partition(result.Topics[i].Partitions[j])
		}
	}
	return out
}

// answerOneOfAll adds a topic when the request is for all. A deleted topic has no ID and is left out where the answer
// names topics by ID.
func (f *offsetFetching) answerOneOfAll(out *kmsg.OffsetFetchResponseGroup, t *groupcoordinator.FetchedTopic) {
	x := kmsg.NewOffsetFetchResponseGroupTopic()
	x.Topic = t.Topic
	if f.r.Version >= 10 {
		topic, code := f.s.Catalogue.Topic(t.Topic)
		if code != wire.NoError {
			return
		}
		x.TopicID = topic.ID
	}
	for _, p := range t.Partitions {
		x.Partitions = append(x.Partitions, f.partition(p))
	}
	out.Topics = append(out.Topics, x)
}

func (f *offsetFetching) partition(o groupcoordinator.FetchedOffset) kmsg.OffsetFetchResponseGroupTopicPartition {
	x := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	x.Partition, x.Offset, x.LeaderEpoch = o.Partition, o.Offset, o.LeaderEpoch
	metadata := o.Metadata
	x.Metadata = &metadata
	x.ErrorCode = int16(codeFor(o.Err, f.r.Key, f.r.Version))
	return x
}

// failOffsetFetch has the code with each partition in v1, at the top from v2 on, and with each group from v8 on.
func failOffsetFetch(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.OffsetFetchRequest), response[*kmsg.OffsetFetchResponse](r)
	switch {
	case r.Version >= 8:
		for i := range req.Groups {
			g := kmsg.NewOffsetFetchResponseGroup()
			g.Group, g.ErrorCode = req.Groups[i].Group, int16(code)
			resp.Groups = append(resp.Groups, g)
		}
	case r.Version >= 2:
		resp.ErrorCode = int16(code)
	default:
		for i := range req.Topics {
			t := kmsg.NewOffsetFetchResponseTopic()
			t.Topic = req.Topics[i].Topic
			for _, index := range req.Topics[i].Partitions {
				p := kmsg.NewOffsetFetchResponseTopicPartition()
				p.Partition, p.ErrorCode = index, int16(code)
				p.Offset, p.Metadata = -1, kmsg.StringPtr("")
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
	}
	return resp
}

// aboutOffsetFetch names a topic once for each group whose offsets of it are requested.
func aboutOffsetFetch(c Catalogue, r *wire.Request) (s Subjects) {
	req := r.Body.(*kmsg.OffsetFetchRequest)
	if r.Version < 8 {
		return Subjects{
			Groups: []string{req.Group},
			Topics: eachOf(req.Topics, func(t *kmsg.OffsetFetchRequestTopic) TopicSubject {
				return TopicSubject{Name: t.Topic, Partitions: t.Partitions}
			}),
		}
	}
	for i := range req.Groups {
		g := &req.Groups[i]
		s.Groups = append(s.Groups, g.Group)
		for j := range g.Topics {
			t := &g.Topics[j]
			s.Topics = append(s.Topics, c.subject(t.Topic, t.TopicID, r.Version >= 10, t.Partitions))
		}
	}
	return s
}
