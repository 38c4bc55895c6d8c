package handlers

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/partition"
	"once/sharecoordinator"
	"once/sharepartition"
	"once/sharepartition/window"
	"once/wire"
)

// The acquire modes of ShareFetch.
const (
	acquireBatchOptimized = 0
	acquireRecordLimit    = 1
)

// ShareFetch v1 to v2. v2 has the acquire mode (KIP-1206) and renewals (KIP-1222).
//
// Acknowledgements are carried out first. A fetch that finds too little waits, without holding a lock, until there may
// be records for the member or its time is over (spec: share-groups 8).
func (s *Services) shareFetch(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.ShareFetchRequest)
	group, member, code := s.checkShareRequest(req.GroupID, req.MemberID)
	if code != wire.NoError {
		return s.Fail(r, code, "")
	}
	if req.IsRenewAck && (req.MaxBytes != 0 || req.MinBytes != 0 || req.MaxRecords != 0 || req.MaxWaitMillis != 0) {
		return s.Fail(r, wire.InvalidRequest, "")
	}
	if req.ShareAcquireMode != acquireBatchOptimized && req.ShareAcquireMode != acquireRecordLimit {
		return s.Fail(r, wire.UnknownServerError, "")
	}
	f := &shareFetching{
		s: s, r: r, req: req, group: group, member: member, response: response[*kmsg.ShareFetchResponse](r),
		maxBytes:    max(0, min(int(req.MaxBytes), s.Settings.FetchMaxBytes)),
		final:       req.ShareSessionEpoch == sharepartition.FinalEpoch,
		byPartition: map[sharepartition.TopicPartition]int{},
	}
	f.minBytes = min(int(req.MinBytes), f.maxBytes)
	wait := time.Duration(req.MaxWaitMillis) * time.Millisecond
	if err := f.openSession(); errors.Is(err, sharepartition.ErrSessionLimit) {
		return wire.Reply{Then: func(ctx context.Context) kmsg.Response { // else the client asks again at once
			f.pause(ctx, wait)
			return s.byKey[r.Key].fail(r, wire.ShareSessionLimitReached, "")
		}}
	} else if err != nil {
		return s.Fail(r, codeFor(err, r.Key, r.Version), "")
	}
	f.acknowledge()
	if f.final {
		s.Shares.End(f.session)
	}
	done := f.final || req.IsRenewAck || f.wantsNothing() || f.read(nil) || wait <= 0
	if done && !f.waits.pending() {
		return wire.Respond(f.finish())
	}
	return wire.Reply{Then: func(ctx context.Context) kmsg.Response {
		if !done {
			f.wait(ctx, wait)
		}
		if !f.waits.wait(ctx) {
			f.release()
			return nil
		}
		return f.finish()
	}}
}

// shareFetching is the state of one ShareFetch request.
type shareFetching struct {
	s                  *Services
	r                  *wire.Request
	req                *kmsg.ShareFetchRequest
	group, member      string
	final              bool
	acknowledges       bool
	minBytes, maxBytes int
	session            *sharepartition.Session
	parts              []sharepartition.TopicPartition // to be fetched, in order
	results            []shareFetched
	byPartition        map[sharepartition.TopicPartition]int // index in results
	waits              shareWaits
	response           *kmsg.ShareFetchResponse
}

// shareFetched is the result for one partition.
type shareFetched struct {
	partition       sharepartition.TopicPartition
	code            wire.Code
	acknowledged    bool // the request acknowledged records of the partition
	acknowledgeCode wire.Code
	leaderEpoch     int32
	sharepartition.Fetched
}

func (f *shareFetching) openSession() (err error) {
	q := sharepartition.SessionRequest{Group: f.group, Member: f.member, Epoch: f.req.ShareSessionEpoch,
		Conn: f.r.Conn.ID()}
	for i := range f.req.Topics {
		t := &f.req.Topics[i]
		for j := range t.Partitions {
			q.Add = append(q.Add, sharepartition.TopicPartition{TopicID: t.TopicID, Partition: t.Partitions[j].Partition})
			q.Acknowledges = q.Acknowledges || len(t.Partitions[j].AcknowledgementBatches) > 0
		}
	}
	for i := range f.req.ForgottenTopicsData {
		t := &f.req.ForgottenTopicsData[i]
		for _, p := range t.Partitions {
			q.Forget = append(q.Forget, sharepartition.TopicPartition{TopicID: t.TopicID, Partition: p})
		}
	}
	f.acknowledges = q.Acknowledges
	f.session, f.parts, err = f.s.Shares.Update(q)
	return err
}

// result returns the result for a partition.
func (f *shareFetching) result(p sharepartition.TopicPartition) *shareFetched {
	i, ok := f.byPartition[p]
	if !ok {
		i = len(f.results)
		f.byPartition[p] = i
		f.results = append(f.results, shareFetched{partition: p})
	}
	return &f.results[i]
}

// acknowledge carries out the acknowledgements. If there are any, the other partitions of the request that do not exist
// get an acknowledge error; those that do exist are in the answer if acknowledgements of one partition were tried.
func (f *shareFetching) acknowledge() {
	if !f.acknowledges {
		return
	}
	var others []sharepartition.TopicPartition
	anyTried := false
	for i := range f.req.Topics {
		t := &f.req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			list := shareAcknowledgements(p.AcknowledgementBatches,
				func(b *kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch) window.Acknowledgement {
					return window.Acknowledgement{FirstOffset: b.FirstOffset, LastOffset: b.LastOffset, Types: b.AcknowledgeTypes}
				})
			tp := sharepartition.TopicPartition{TopicID: t.TopicID, Partition: p.Partition}
			code, tried := f.s.acknowledge(f.group, f.member, tp, list, f.req.IsRenewAck, f.r, &f.waits)
			anyTried = anyTried || tried
			if len(list) == 0 && code == wire.NoError {
				others = append(others, tp)
				continue
			}
			res := f.result(tp)
			res.acknowledged, res.acknowledgeCode = true, code
		}
	}
	if anyTried {
		for _, tp := range others {
			f.result(tp).acknowledged = true
		}
	}
}

// partition looks up a partition of the session. A topic that the session knew and that is gone is an unknown topic,
// one that never was is an unknown ID.
func (f *shareFetching) partition(p sharepartition.TopicPartition) (*partition.Partition, wire.Code) {
	t, code := f.s.Catalogue.TopicByID(p.TopicID)
	known := f.session.Knew(p.TopicID, code == wire.NoError)
	if code != wire.NoError {
		if known {
			return nil, wire.UnknownTopicOrPartition
		}
		return nil, code
	}
	return partitionOf(t, p.Partition)
}

// wantsNothing reports whether the client wants no records. It then notes which partitions cannot be fetched, because
// the client is told of them even so; the others are left out of the answer.
func (f *shareFetching) wantsNothing() bool {
	if f.req.MaxRecords > 0 && f.maxBytes > 0 {
		return false
	}
	for _, p := range f.parts {
		if _, code := f.partition(p); code != wire.NoError {
			f.result(p).code = code
		}
	}
	return true
}

// read fetches from all partitions, and says whether the answer can be sent.
func (f *shareFetching) read(w *partition.Waiter) (done bool) {
	records, fetchable, any := int64(f.req.MaxRecords), 0, false
	if f.minBytes > 1 && w != nil && !f.enough() {
		return false
	}
	for _, p := range f.parts {
		res := f.result(p)
		found, code := f.partition(p)
		if res.code = code; code != wire.NoError {
			done = true
			continue
		}
		if records <= 0 {
			continue
		}
		q := f.request(p, found, w)
		q.MaxRecords, q.AtLeastOne = records, !any
		fetched, err := f.s.Shares.Fetch(q)
		if err != nil {
			res.code, res.leaderEpoch = f.codeOf(err), found.LeaderEpoch()
			done = true
			continue
		}
		fetchable++
		res.Fetched = fetched
		if records -= fetched.Records; fetched.Records > 0 {
			done, any = true, true
		}
	}
	return done || fetchable == 0
}

// codeOf is the code of a failed fetch. A share partition without state is nothing that a consumer can do anything
// about.
func (f *shareFetching) codeOf(err error) wire.Code {
	if errors.Is(err, sharecoordinator.ErrNoState) {
		return wire.UnknownServerError
	}
	return codeFor(err, f.r.Key, f.r.Version)
}

func (f *shareFetching) request(p sharepartition.TopicPartition, found *partition.Partition,
	w *partition.Waiter) sharepartition.FetchRequest {
	return sharepartition.FetchRequest{
		Key: f.key(p), Partition: found, MemberID: f.member, BatchSize: int64(f.req.BatchSize),
		RecordLimit: f.req.ShareAcquireMode == acquireRecordLimit, MaxBytes: max(1, f.maxBytes/len(f.parts)), Waiter: w,
	}
}

func (f *shareFetching) key(p sharepartition.TopicPartition) sharepartition.Key {
	return sharepartition.Key{Group: f.group, TopicID: p.TopicID, Partition: p.Partition}
}

// enough says whether all partitions together have the bytes that the client waits for.
func (f *shareFetching) enough() bool {
	bytes := 0
	for _, p := range f.parts {
		if found, code := f.partition(p); code == wire.NoError {
			bytes += f.s.Shares.SizeFrom(f.request(p, found, nil))
		}
	}
	return bytes >= f.minBytes
}

// wait fetches again whenever there may be records, until there are some or time is over.
func (f *shareFetching) wait(ctx context.Context, limit time.Duration) {
	w := partition.NewWaiter(f.s.shareGroup(f.group).ReadCommitted)
	for _, p := range f.parts {
		if found, code := f.partition(p); code == wire.NoError {
			found.Watch(w)
			defer found.Unwatch(w)
		}
	}
	defer func() {
		for _, p := range f.parts {
			f.s.Shares.Unwatch(f.key(p), w)
		}
	}()
	timer := time.NewTimer(f.s.longestWait(limit))
	defer timer.Stop()
	for {
		for _, p := range f.parts { // again each time: a share partition may have been dropped
			f.s.Shares.Watch(f.key(p), w)
		}
		if f.read(w) || !f.s.shareEnabled() {
			return
		}
		select {
		case <-w.C:
		case <-timer.C:
			f.minBytes = 0
			f.read(w)
			return
		case <-f.s.Ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// pause waits for a time, without doing anything.
func (f *shareFetching) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(f.s.longestWait(d))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.s.Ended:
	case <-ctx.Done():
	}
}

func (f *shareFetching) release() {
	for i := range f.results {
		f.results[i].Slice.Release()
	}
}

// finish makes the response from the results.
func (f *shareFetching) finish() kmsg.Response {
	resp := &shareFetchResponse{ShareFetchResponse: f.response}
	f.response.AcquisitionLockTimeoutMillis = int32(f.s.shareGroup(f.group).LockDuration.Milliseconds())
	var topics shareTopics[kmsg.ShareFetchResponseTopic]
	slots := map[[16]byte][]int{}
	leaders := false
	for i := range f.results {
		res := &f.results[i]
		failed := res.code != wire.NoError
		before := !f.final && f.session.NoteResult(res.partition, failed)
		if f.req.ShareSessionEpoch != sharepartition.InitialEpoch && !failed && !before && !res.acknowledged &&
			len(res.Acquired) == 0 {
			continue
		}
		if f.req.ShareSessionEpoch == sharepartition.InitialEpoch && res.Loading {
			continue
		}
		t := topics.at(res.partition.TopicID, func() kmsg.ShareFetchResponseTopic {
			t := kmsg.NewShareFetchResponseTopic()
			t.TopicID = res.partition.TopicID
			return t
		})
		t.Partitions = append(t.Partitions, f.describe(res))
		leaders = leaders || t.Partitions[len(t.Partitions)-1].CurrentLeader.LeaderEpoch > 0
		slots[t.TopicID] = append(slots[t.TopicID], i)
	}
	f.response.Topics = topics.list
	for i := range topics.list {
		for _, slot := range slots[topics.list[i].TopicID] {
			resp.slices = append(resp.slices, f.results[slot].Slice)
		}
	}
	if leaders {
		n := kmsg.NewShareFetchResponseNodeEndpoint()
		n.NodeID = f.s.NodeID
		n.Host, n.Port = f.s.Advertised(f.r.Conn)
		f.response.NodeEndpoints = append(f.response.NodeEndpoints, n)
	}
	return resp
}

func (f *shareFetching) describe(res *shareFetched) kmsg.ShareFetchResponseTopicPartition {
	p := kmsg.NewShareFetchResponseTopicPartition()
	p.Partition, p.ErrorCode, p.AcknowledgeErrorCode = res.partition.Partition, int16(res.code), int16(res.acknowledgeCode)
	if res.code == wire.NotLeaderOrFollower || res.code == wire.FencedLeaderEpoch {
		p.CurrentLeader = leaderOf(f.s.NodeID, res.leaderEpoch)
	}
	for _, a := range res.Acquired {
		x := kmsg.NewShareFetchResponseTopicPartitionAcquiredRecord()
		x.FirstOffset, x.LastOffset, x.DeliveryCount = a.FirstOffset, a.LastOffset, a.DeliveryCount
		p.AcquiredRecords = append(p.AcquiredRecords, x)
	}
	return p
}

var failShareFetch = failAtTop(func(r *kmsg.ShareFetchResponse) (*int16, **string) { return &r.ErrorCode, nil })

func aboutShareFetch(c Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.ShareFetchRequest)
	return aboutShareGroup(c, req.GroupID, eachOf(req.Topics, func(t *kmsg.ShareFetchRequestTopic) TopicSubject {
		indexes := eachOf(t.Partitions, func(p *kmsg.ShareFetchRequestTopicPartition) int32 { return p.Partition })
		return c.subject("", t.TopicID, true, indexes)
	}))
}
