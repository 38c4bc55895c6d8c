package handlers

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log"
	"once/partition"
	"once/wire"
)

// fetchDowngrades: clients before v6 know no KAFKA_STORAGE_ERROR.
var fetchDowngrades = []downgradeRow{
	{Key: int16(kmsg.Fetch), Below: 6, From: wire.KafkaStorageError, To: wire.NotLeaderOrFollower},
	{Key: int16(kmsg.ListOffsets), Below: 5, From: wire.OffsetNotAvailable, To: wire.LeaderNotAvailable},
}

// Fetch v4 to v18. v5 log start offset, v7 sessions (KIP-227), v9 leader epochs (KIP-320), v11 rack,
// v12 flexible and diverging epochs (KIP-595), v13 topic IDs (KIP-516), v15 replica state, v16 node
// endpoints (KIP-951), v17 and v18 fields that followers use.
//
// A fetch that finds too little waits, without holding a lock, until a partition's readable bound moves or its time is
// over; then everything is read again.
func (s *Services) fetch(ctx context.Context, r *wire.Request) wire.Reply {
	began := s.beginMeasuring()
	req, resp := r.Body.(*kmsg.FetchRequest), response[*kmsg.FetchResponse](r)
	f := &fetching{s: s, r: r, version: r.Version, committed: req.IsolationLevel == 1, minBytes: int(req.MinBytes),
		response: resp}
	f.maxBytes = max(0, min(int(req.MaxBytes), s.Settings.FetchMaxBytes, s.fetchRoom(r)))
	f.minBytes = min(f.minBytes, f.maxBytes)
	f.spoiled = spoiledBy(ctx)
	f.replica = req.ReplicaID >= 0
	if r.Version >= 15 {
		f.replica = req.ReplicaState.ID >= 0
	}
	if req.IsolationLevel < 0 || req.IsolationLevel > 1 {
		return s.Fail(r, wire.InvalidRequest, "") // to guess could show what was aborted
	}
	if code := f.openSession(req); code != wire.NoError { // of a session, which none has before v7
		resp.ErrorCode = int16(code)
		return wire.Respond(resp)
	}
	f.findMissing()
	wait := time.Duration(req.MaxWaitMillis) * time.Millisecond
	if f.read(); wait <= 0 || f.satisfied() {
		return wire.Respond(f.answer(spentSince(began)))
	}
	spent := spentSince(began)
	return wire.Reply{Then: func(ctx context.Context) kmsg.Response {
		f.wait(ctx, wait)
		return f.answer(spent)
	}}
}

// fetching is the state of one Fetch request.
type fetching struct {
	s                  *Services
	r                  *wire.Request
	version            int16
	committed          bool
	replica            bool // asks as a broker that follows, of which there are none
	minBytes, maxBytes int
	session            *fetchSession // nil without one
	incremental        bool
	parts              []*fetchPartition
	results            []fetched // of the last read, one for each of parts
	bytes              int
	urgent             bool // an error or a diverging epoch: answer at once
	response           *kmsg.FetchResponse
	spoiled            func(topic string, partition int32) wire.Code // by a test; nil for none
}

// fetched is the result for one partition.
type fetched struct {
	code wire.Code
	partition.ReadResult
}

// openSession finds the requested partitions and updates the session (spec: log 7.5).
func (f *fetching) openSession(req *kmsg.FetchRequest) wire.Code {
	sessions := f.s.sessions
	if f.version < 7 || req.SessionEpoch == 0 || req.SessionEpoch == -1 {
		if req.SessionID != 0 {
			sessions.remove(req.SessionID)
		}
		f.parts = f.asked(req)
		if f.version >= 7 && req.SessionEpoch == 0 {
			if f.session = sessions.create(f.parts, f.version >= 13); f.session != nil {
				f.response.SessionID = f.session.id
			}
		}
		return wire.NoError
	}
	s := sessions.get(req.SessionID)
	if s == nil {
		return wire.FetchSessionIDNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != req.SessionEpoch {
		return wire.InvalidFetchSessionEpoch
	}
	if s.byID != (f.version >= 13) {
		return wire.FetchSessionTopicIDError
	}
	f.response.SessionID = s.id
	s.epoch = nextEpoch(s.epoch)
	asked := f.asked(req)
	for _, p := range asked {
		s.put(p)
	}
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		for _, index := range t.Partitions {
			s.forget(fetchKey{topic: t.Topic, topicID: t.TopicID, partition: index})
		}
	}
	for e := s.order.Front(); e != nil; e = e.Next() {
		f.nameID(e.Value.(*fetchPartition))
	}
	f.parts = s.partitions()
	if len(f.parts) == 0 { // then what is asked and forgotten at once is answered without a session
		sessions.remove(s.id)
		f.response.SessionID, f.parts = 0, asked
		return wire.NoError
	}
	f.session, f.incremental = s, true
	return wire.NoError
}

// asked returns the partitions in the request. Of several entries for one partition the last one counts, at the place
// of the first.
func (f *fetching) asked(req *kmsg.FetchRequest) []*fetchPartition {
	var parts []*fetchPartition
	for i := range req.Topics {
		t := &req.Topics[i]
		name := strings.Clone(t.Topic) // outlives the request in a session
		for j := range t.Partitions {
			p := &t.Partitions[j]
			parts = append(parts, &fetchPartition{
				key:   fetchKey{topic: name, topicID: t.TopicID, partition: p.Partition},
				topic: name, topicID: t.TopicID, offset: p.FetchOffset, maxBytes: p.PartitionMaxBytes,
				currentLeaderEpoch: p.CurrentLeaderEpoch, lastFetchedEpoch: p.LastFetchedEpoch,
				saidHighWatermark: -1, saidLogStart: -1,
			})
		}
	}
	parts = mergeBy(parts,
		func(p **fetchPartition) fetchKey { return (*p).key },
		func(into, more **fetchPartition) { *into = *more })
	for _, p := range parts {
		f.nameID(p)
	}
	return parts
}

// nameID stores the name of a topic that is requested by ID, once there is one. Later lookups of the ID use that name:
// see partition.
func (f *fetching) nameID(p *fetchPartition) {
	if f.version < 13 || p.nameOfID != "" {
		return
	}
	if t, code := f.s.Catalogue.TopicByID(p.topicID); code == wire.NoError {
		p.nameOfID = t.Name
	}
}

// partition looks up a partition by name or ID. An ID that had a topic is looked up by that topic's name, as in Kafka:
// the topic may be deleted, or the name belong to another one by now.
func (f *fetching) partition(p *fetchPartition) (*partition.Partition, wire.Code) {
	if f.spoiled != nil {
		if code := f.spoiled(cmp.Or(p.nameOfID, p.topic), p.key.partition); code != wire.NoError {
			return nil, code
		}
	}
	if f.version < 13 {
		found, code := f.s.Catalogue.Partition(p.topic, p.key.partition)
		if code == wire.NoError && f.replica {
			return nil, wire.NotLeaderOrFollower
		}
		return found, code
	}
	if p.nameOfID == "" {
		return nil, wire.UnknownTopicID
	}
	t, code := f.s.Catalogue.Topic(p.nameOfID)
	if code != wire.NoError {
		return nil, code
	}
	found, code := partitionOf(t, p.key.partition)
	switch {
	case code != wire.NoError:
		return nil, code
	case t.ID != p.topicID:
		return nil, wire.InconsistentTopicID
	case f.replica:
		return nil, wire.NotLeaderOrFollower
	}
	return found, wire.NoError
}

// read reads all partitions in order within the budget (spec: log 7.3): the first batch that is found
// is given even when it is larger than all limits.
func (f *fetching) read() {
	f.release()
	f.results, f.bytes, f.urgent = make([]fetched, len(f.parts)), 0, false
	known := 0
	for i, p := range f.parts {
		r := &f.results[i]
		found, code := f.partition(p)
		if code != wire.NoError && p.missing != present {
			r.code = code
			continue
		}
		known++
		if code == wire.NoError {
			var err error
			r.ReadResult, err = found.Read(partition.ReadRequest{
				Offset: p.offset, Committed: f.committed,
				MaxBytes: max(0, min(int(p.maxBytes), f.maxBytes-f.bytes)), AtLeastOne: f.bytes == 0,
				CurrentLeaderEpoch: p.currentLeaderEpoch, LastFetchedEpoch: p.lastFetchedEpoch,
			})
			code = codeFor(err, int16(kmsg.Fetch), f.version)
		}
		r.code = code
		f.bytes += r.Slice.SizeBytes()
		if code != wire.NoError || r.Diverging != nil {
			f.urgent = true
		}
	}
	f.urgent = f.urgent || known == 0
}

// findMissing finds the partitions that do not exist. They are answered after the others, as in Kafka: first those of
// unknown IDs, then those of unknown names. If one disappears while the request waits, the answer is sent.
func (f *fetching) findMissing() {
	for _, p := range f.parts {
		switch _, code := f.partition(p); code {
		case wire.UnknownTopicID:
			p.missing = missingTopicID
		case wire.UnknownTopicOrPartition:
			p.missing = missingName
		}
	}
	byMissing := func(a, b *fetchPartition) int { return cmp.Compare(a.missing, b.missing) }
	if !slices.IsSortedFunc(f.parts, byMissing) {
		slices.SortStableFunc(f.parts, byMissing)
	}
}

// satisfied says whether the answer can be sent.
func (f *fetching) satisfied() bool { return f.urgent || f.bytes >= f.minBytes }

// wait reads again whenever a watched partition has moved, until there is enough or time is over.
func (f *fetching) wait(ctx context.Context, limit time.Duration) {
	w := partition.NewWaiter(f.committed)
	for _, p := range f.parts {
		if found, code := f.partition(p); code == wire.NoError {
			found.Watch(w)
			defer found.Unwatch(w)
		}
	}
	timer := time.NewTimer(f.s.longestWait(limit))
	defer timer.Stop()
	for {
		f.read()
		if f.satisfied() {
			return
		}
		select {
		case <-w.C:
		case <-timer.C:
			f.read()
			return
		case <-f.s.Ended:
			f.topicsAreGone()
			return
		case <-ctx.Done():
			return
		}
	}
}

// longestWait bounds the wait of a fetch. The connection is not read meanwhile, so a closed connection is not noticed:
// a fetch waits no longer than an idle connection may be open.
func (s *Services) longestWait(asked time.Duration) time.Duration {
	if idle := s.Settings.ConnectionsMaxIdle; idle > 0 {
		return min(asked, idle)
	}
	return asked
}

// topicsAreGone answers every partition with the code for an unknown topic, because the cluster has been reset.
func (f *fetching) topicsAreGone() {
	f.release()
	code := wire.UnknownTopicOrPartition
	if f.version >= 13 {
		code = wire.UnknownTopicID
	}
	for i := range f.results {
		f.results[i] = fetched{code: code}
	}
}

func (f *fetching) release() {
	for i := range f.results {
		f.results[i].Slice.Release()
	}
}

// answer makes the response from the results, after a time that was spent on the request. One above the client's quotas
// is kept back: the client has to pause, and then asks again (spec: wire 6).
func (f *fetching) answer(spent time.Duration) kmsg.Response {
	resp := f.describeAll()
	pause, admitted := f.s.admitFetch(f.r, resp, spent)
	if admitted {
		f.rememberAll()
	} else {
		resp.Release()
		resp = f.emptied()
	}
	if pause > 0 {
		pauseClient(f.r, resp, pause)
	}
	return resp
}

// emptied is a response without partitions. A session that the request has begun ends: the client does not know it.
func (f *fetching) emptied() *fetchResponse {
	if f.session != nil && !f.incremental {
		f.s.sessions.remove(f.session.id)
		f.response.SessionID = 0
	}
	f.response.Topics = nil
	return &fetchResponse{FetchResponse: f.response}
}

// describeAll makes the response from the results.
func (f *fetching) describeAll() *fetchResponse {
	resp := &fetchResponse{FetchResponse: f.response, withRecords: withRecords{slices: make([]log.Slice, 0, len(f.parts))}}
	var topic *kmsg.FetchResponseTopic
	for i, p := range f.parts {
		r := &f.results[i]
		if f.incremental && !f.changed(p, r) {
			r.Slice.Release()
			continue
		}
		if topic == nil || topic.Topic != p.topic || topic.TopicID != p.topicID {
			t := kmsg.NewFetchResponseTopic()
			t.Topic, t.TopicID = p.topic, p.topicID
			if !f.incremental { // then all of them are answered
				t.Partitions = make([]kmsg.FetchResponseTopicPartition, 0, f.ofSameTopic(i))
			}
			f.response.Topics = append(f.response.Topics, t)
			topic = &f.response.Topics[len(f.response.Topics)-1]
		}
		topic.Partitions = append(topic.Partitions, f.describe(p, r))
		resp.slices = append(resp.slices, r.Slice)
	}
	return resp
}

// rememberAll remembers in the session what is answered.
func (f *fetching) rememberAll() {
	if f.session == nil {
		return
	}
	f.session.mu.Lock()
	defer f.session.mu.Unlock()
	for i, p := range f.parts {
		if r := &f.results[i]; !f.incremental || f.changed(p, r) {
			f.rememberLocked(p, r)
		}
	}
}

// ofSameTopic returns the number of partitions from the i-th on that belong to its topic.
func (f *fetching) ofSameTopic(i int) int {
	n := 1
	for i+n < len(f.parts) && f.parts[i+n].topic == f.parts[i].topic && f.parts[i+n].topicID == f.parts[i].topicID {
		n++
	}
	return n
}

// changed says whether the answer of a session must include a partition. A last stable offset that moved alone is no
// reason (spec: log 7.5).
func (f *fetching) changed(p *fetchPartition, r *fetched) bool {
	return r.code != wire.NoError || r.Diverging != nil || r.Slice.SizeBytes() > 0 ||
		r.HighWatermark != p.saidHighWatermark || r.LogStartOffset != p.saidLogStart
}

func (f *fetching) rememberLocked(p *fetchPartition, r *fetched) {
	e := f.session.parts[p.key]
	if e == nil {
		return // forgotten meanwhile
	}
	kept := e.Value.(*fetchPartition)
	kept.saidHighWatermark, kept.saidLogStart = r.HighWatermark, r.LogStartOffset
	if r.code != wire.NoError {
		kept.saidHighWatermark, kept.saidLogStart = -1, -1
	}
	if f.incremental && r.Slice.SizeBytes() > 0 { // a new session has the order of its request
		f.session.order.MoveToBack(e)
	}
}

func (f *fetching) describe(p *fetchPartition, r *fetched) kmsg.FetchResponseTopicPartition {
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.Partition, rp.ErrorCode = p.key.partition, int16(r.code)
	rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = -1, -1, -1
	if r.code == wire.NoError {
		rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = r.HighWatermark, r.LastStableOffset, r.LogStartOffset
	}
	if r.Diverging != nil {
		rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset = r.Diverging.LeaderEpoch, r.Diverging.EndOffset
	}
	if f.committed && r.code == wire.NoError {
		rp.AbortedTransactions = abortedTransactions(r.Aborted)
	}
	return rp
}

func abortedTransactions(aborted []log.AbortedTxn) []kmsg.FetchResponseTopicPartitionAbortedTransaction {
	list := make([]kmsg.FetchResponseTopicPartitionAbortedTransaction, len(aborted))
	for i, a := range aborted {
		list[i].ProducerID, list[i].FirstOffset = a.ProducerID, a.FirstOffset
	}
	return list
}

func aboutFetch(c Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.FetchRequest)
	return Subjects{
		Topics: eachOf(req.Topics, func(t *kmsg.FetchRequestTopic) TopicSubject {
			indexes := eachOf(t.Partitions, func(p *kmsg.FetchRequestTopicPartition) int32 { return p.Partition })
			return c.subject(t.Topic, t.TopicID, r.Version >= 13, indexes)
		}),
	}
}
