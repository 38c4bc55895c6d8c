package broker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestHostileRequests is about requests that are well formed and ask for what cannot be: rows B12, B24 to
// B28 and B30.
func TestHostileRequests(t *testing.T) {
	h := newHostile(t, nil)
	h.run(topicNames())
	h.run(absurdTopics())
	h.run(fetches())
	h.run(fetchSessions())
	h.run(joins())
	h.run(offsetCommits())
	h.run(producerIDs())
	h.run(transactions())
	if h.own == nil {
		return
	}
	if outside, err := os.ReadDir(filepath.Dir(h.dir)); err != nil || len(outside) != 1 {
		t.Errorf("beside the data directory: %v, %v", outside, err)
	}
}

// request asks, and counts what was sent. A closed connection is nil.
func (h *hostile) request(r kmsg.Request) kmsg.Response {
	h.t.Helper()
	h.sent += len(r.AppendTo(nil))
	return h.ask(r)
}

// tally says how often each code came.
func tally(codes []int16) string {
	var out []string
	count := map[int16]int{}
	for _, c := range codes {
		if count[c]++; count[c] == 1 {
			out = append(out, code(c))
		}
	}
	if len(codes) == 1 {
		return out[0]
	}
	for i, c := range out {
		for each, n := range count {
			if code(each) == c {
				out[i] = fmt.Sprintf("%d %s", n, c)
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func topicNames() []hostileCase {
	var cases []hostileCase
	kafka := map[string]string{"32767 bytes": "UNKNOWN_SERVER_ERROR"}
	for name, spelled := range map[string]string{
		"": "empty", ".": ".", "..": "..", "a/b": "a/b", "../../outside": "../../outside", "/outside": "/outside",
		"a\\b": "a\\b", "a\x00b": "NUL",
		"a b": "space", "\u00e4": "umlaut", "\xff\xfe": "no UTF-8", strings.Repeat("n", 250): "250 bytes",
		strings.Repeat("n", 32767): "32767 bytes",
	} {
		cases = append(cases,
			hostileCase{row: "B12", name: "CreateTopics, " + spelled, send: creates(name, 1, nil),
				want: "INVALID_TOPIC_EXCEPTION", kafka: kafka[spelled], why: failsInside},
			hostileCase{row: "B12", name: "Metadata, " + spelled, send: describes(name), want: "INVALID_TOPIC_EXCEPTION"},
			hostileCase{row: "B12", name: "DeleteTopics, " + spelled, send: deletes(name), want: "UNKNOWN_TOPIC_OR_PARTITION"})
	}
	slices.SortFunc(cases, func(a, b hostileCase) int { return strings.Compare(a.name, b.name) })
	return append(cases,
		hostileCase{row: "B12", name: "CreateTopics, 249 bytes", grows: true, want: "NONE",
			send: func(h *hostile) string { return creates(strings.Repeat("n", 249-len(h.suffix))+h.suffix, 1, nil)(h) }},
		hostileCase{row: "B12", name: "CreateTopics, alike but for a dot", grows: true, want: "NONE INVALID_TOPIC_EXCEPTION",
			send: func(h *hostile) string {
				return creates("a_b"+h.suffix, 1, nil)(h) + " " + creates("a.b"+h.suffix, 1, nil)(h)
			}})
}

func creates(name string, partitions int32, config map[string]string) func(*hostile) string {
	return func(h *hostile) string {
		r := kmsg.NewPtrCreateTopicsRequest()
		r.Version, r.TimeoutMillis = 7, 10_000
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
		for k, v := range config {
			t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
		}
		r.Topics = append(r.Topics, t)
		if resp, ok := h.request(r).(*kmsg.CreateTopicsResponse); ok {
			return code(resp.Topics[0].ErrorCode)
		}
		return closed
	}
}

func describes(name string) func(*hostile) string {
	return func(h *hostile) string {
		r := kmsg.NewPtrMetadataRequest()
		r.Version, r.AllowAutoTopicCreation = 9, true
		r.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		if resp, ok := h.request(r).(*kmsg.MetadataResponse); ok {
			return code(resp.Topics[0].ErrorCode)
		}
		return closed
	}
}

func deletes(name string) func(*hostile) string {
	return func(h *hostile) string {
		r := kmsg.NewPtrDeleteTopicsRequest()
		r.Version, r.TimeoutMillis, r.TopicNames = 5, 10_000, []string{name}
		if resp, ok := h.request(r).(*kmsg.DeleteTopicsResponse); ok {
			return code(resp.Topics[0].ErrorCode)
		}
		return closed
	}
}

func absurdTopics() []hostileCase {
	config := func(name, value string) func(*hostile) string {
		return creates("absurd", 1, map[string]string{name: value})
	}
	many := kmsg.NewPtrMetadataRequest()
	many.Version = 9
	for range 20_000 {
		many.Topics = append(many.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("nosuch")})
	}
	return []hostileCase{
		{row: "B30", name: "1000000 partitions", send: creates("absurd", 1_000_000, nil), want: "POLICY_VIOLATION"},
		{row: "B30", name: "2147483647 partitions", send: creates("absurd", 1<<31-1, nil), want: "POLICY_VIOLATION"},
		{row: "B30", name: "no partitions", send: creates("absurd", 0, nil), want: "INVALID_PARTITIONS"},
		{row: "B30", name: "-2 partitions", send: creates("absurd", -2, nil), want: "INVALID_PARTITIONS"},
		{row: "B30", name: "unknown configuration", send: config("no.such.thing", "1"), want: "INVALID_CONFIG"},
		{row: "B30", name: "segments of a byte", send: config("segment.bytes", "1"), want: "INVALID_CONFIG"},
		{row: "B30", name: "a number that is none", send: config("retention.ms", "long"), want: "INVALID_CONFIG"},
		{row: "B30", name: "messages of -1 bytes", send: config("max.message.bytes", "-1"), want: "INVALID_CONFIG"},
		{row: "B30", name: "an unknown codec", send: config("compression.type", "zip"), want: "INVALID_CONFIG"},
		{row: "B12", name: "20000 times the same unknown topic", want: "UNKNOWN_TOPIC_OR_PARTITION", perByte: 80,
			send: func(h *hostile) string { return code(h.request(many).(*kmsg.MetadataResponse).Topics[0].ErrorCode) }},
	}
}

// fetch is a Fetch of x-1, which holds one record, with something changed in it.
func (h *hostile) fetchRequest(version int16, change func(r *kmsg.FetchRequest,
	p *kmsg.FetchRequestTopicPartition)) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.ReplicaID, r.MaxBytes, r.MinBytes, r.SessionEpoch = version, -1, 1<<20, 1, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.PartitionMaxBytes = 1, 1<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = "x"+h.suffix, h.topicIDs["x"+h.suffix]
	change(r, &p)
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

// fetched says what a Fetch was answered: the error at the top, or each partition's and its bytes.
func (h *hostile) fetched(r *kmsg.FetchRequest) string {
	h.t.Helper()
	resp, ok := h.request(r).(*kmsg.FetchResponse)
	if !ok {
		return closed
	}
	if resp.ErrorCode != 0 {
		return "all " + code(resp.ErrorCode)
	}
	var codes []int16
	size := 0
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			codes = append(codes, p.ErrorCode)
			size += len(p.RecordBatches)
		}
	}
	switch {
	case len(codes) == 0:
		return "nothing"
	case size == 0:
		return tally(codes)
	case size == len(h.kept):
		return tally(codes) + ", one batch"
	}
	return fmt.Sprintf("%s, %d bytes", tally(codes), size)
}

func fetching(version int16, change func(r *kmsg.FetchRequest,
	p *kmsg.FetchRequestTopicPartition)) func(*hostile) string {
	return func(h *hostile) string { return h.fetched(h.fetchRequest(version, change)) }
}

func fetches() []hostileCase {
	type request = *kmsg.FetchRequest
	type partition = *kmsg.FetchRequestTopicPartition
	offset := func(o int64) func(*hostile) string {
		return fetching(12, func(_ request, p partition) { p.FetchOffset = o })
	}
	many := func(topic string, n int, at func(int) int32) func(*hostile) string {
		return func(h *hostile) string {
			r := h.fetchRequest(12, func(request, partition) {})
			r.Topics[0].Topic, r.Topics[0].Partitions = topic+h.suffix, nil
			for i := range n {
				p := kmsg.NewFetchRequestTopicPartition()
				p.Partition, p.PartitionMaxBytes = at(i), 1<<20
				r.Topics[0].Partitions = append(r.Topics[0].Partitions, p)
			}
			return h.fetched(r)
		}
	}
	isolation := func(level int8) func(*hostile) string {
		return fetching(12, func(r request, _ partition) { r.IsolationLevel = level })
	}
	return []hostileCase{
		{row: "B24", name: "100000 unknown partitions", send: many("nosuch", 100_000, func(i int) int32 { return int32(i) }),
			want: "100000 UNKNOWN_TOPIC_OR_PARTITION", perByte: 80},
		{row: "B24", name: "10000 partitions that a topic does not have",
			send: many("x", 10_000, func(i int) int32 { return int32(i + 2) }), want: "10000 UNKNOWN_TOPIC_OR_PARTITION",
			perByte: 80},
		{row: "B24", name: "10000 times the same partition", want: "NONE, one batch",
			send: many("x", 10_000, func(int) int32 { return 1 })},
		{row: "B24", name: "unknown topic ID", want: "UNKNOWN_TOPIC_ID", send: func(h *hostile) string {
			r := h.fetchRequest(13, func(request, partition) {})
			r.Topics[0].TopicID = [16]byte{1, 2, 3}
			return h.fetched(r)
		}},
		{row: "B24", name: "partition -1", send: fetching(12, func(_ request, p partition) { p.Partition = -1 }),
			want: "UNKNOWN_TOPIC_OR_PARTITION"},
		{row: "B24", name: "offset -1", send: offset(-1), want: "OFFSET_OUT_OF_RANGE"},
		{row: "B24", name: "offset -9223372036854775808", send: offset(-1 << 63), want: "OFFSET_OUT_OF_RANGE"},
		{row: "B24", name: "offset beyond the end", send: offset(2), want: "OFFSET_OUT_OF_RANGE"},
		{row: "B24", name: "offset 9223372036854775807", send: offset(1<<63 - 1), want: "OFFSET_OUT_OF_RANGE"},
		{row: "B24", name: "0 bytes at most", send: fetching(12, func(r request, _ partition) { r.MaxBytes = 0 }),
			want: "NONE, one batch"},
		{row: "B24", name: "-1 bytes at most", send: fetching(12, func(r request, _ partition) { r.MaxBytes = -1 }),
			want:  "NONE, one batch",
			kafka: "UNKNOWN_SERVER_ERROR", why: failsInside},
		{row: "B24", name: "2147483647 bytes at most", send: fetching(12,
			func(r request, p partition) { r.MaxBytes, p.PartitionMaxBytes = 1<<31-1, 1<<31-1 }), want: "NONE, one batch"},
		{row: "B24", name: "0 bytes of the partition at most",
			send: fetching(12, func(_ request, p partition) { p.PartitionMaxBytes = 0 }), want: "NONE, one batch"},
		{row: "B24", name: "-1 bytes of the partition at most",
			send: fetching(12, func(_ request, p partition) { p.PartitionMaxBytes = -1 }), want: "NONE, one batch",
			kafka: "UNKNOWN_SERVER_ERROR", why: failsInside},
		{row: "B24", name: "-1 bytes at least", send: fetching(12,
			func(r request, _ partition) { r.MinBytes, r.MaxWaitMillis = -1, 1<<31-1 }), want: "NONE, one batch"},
		{row: "B24", name: "waiting for -1 ms", send: fetching(12,
			func(r request, _ partition) { r.MinBytes, r.MaxWaitMillis = 1<<30, -1 }), want: "NONE, one batch"},
		{row: "B24", name: "isolation level 2", send: isolation(2), want: "all INVALID_REQUEST",
			kafka: "all UNKNOWN_SERVER_ERROR", why: failsInside},
		{row: "B24", name: "isolation level -1", send: isolation(-1), want: "all INVALID_REQUEST",
			kafka: "all UNKNOWN_SERVER_ERROR", why: failsInside},
		{row: "B24", name: "isolation level 2, v4", send: fetching(4, func(r request, _ partition) { r.IsolationLevel = 2 }),
			want: "INVALID_REQUEST", kafka: "UNKNOWN_SERVER_ERROR", why: failsInside},
		{row: "B24", name: "isolation level 2, ListOffsets", send: listing(2), want: "INVALID_REQUEST",
			kafka: "UNKNOWN_SERVER_ERROR", why: failsInside},
		{row: "B24", name: "leader epoch of the future",
			send: fetching(12, func(_ request, p partition) { p.CurrentLeaderEpoch = 1 << 30 }), want: "UNKNOWN_LEADER_EPOCH"},
		{row: "B24", name: "last fetched epoch of the future",
			send: fetching(12, func(_ request, p partition) { p.LastFetchedEpoch = 1 << 30 }), want: "OFFSET_OUT_OF_RANGE"},
		{row: "B24", name: "as a follower", send: fetching(12, func(r request, _ partition) { r.ReplicaID = 5 }),
			want: "NOT_LEADER_OR_FOLLOWER"},
	}
}

// listing asks for the end offset of x-1 in an isolation level.
func listing(isolation int8) func(*hostile) string {
	return func(h *hostile) string {
		r := kmsg.NewPtrListOffsetsRequest()
		r.Version, r.ReplicaID, r.IsolationLevel = 7, -1, isolation
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = 1, -1
		r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "x" + h.suffix,
			Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		return code(h.request(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode)
	}
}

func fetchSessions() []hostileCase {
	type request = *kmsg.FetchRequest
	type partition = *kmsg.FetchRequestTopicPartition
	session := func(id, epoch int32) func(*hostile) string {
		return fetching(12, func(r request, _ partition) { r.SessionID, r.SessionEpoch = id, epoch })
	}
	// after opens a session on another connection and goes on with it on a new one.
	after := func(version int16, change func(r request)) func(*hostile) string {
		return func(h *hostile) string {
			r := h.fetchRequest(12, func(r request, _ partition) { r.SessionEpoch = 0 })
			made := h.request(r).(*kmsg.FetchResponse)
			if made.SessionID == 0 {
				return "no session"
			}
			h.hangUp()
			r = h.fetchRequest(version, func(r request, _ partition) { r.SessionID, r.SessionEpoch = made.SessionID, 1 })
			r.Topics = nil
			change(r)
			return h.fetched(r)
		}
	}
	return []hostileCase{
		{row: "B24", name: "unknown session", send: session(12345, 1), want: "all FETCH_SESSION_ID_NOT_FOUND"},
		{row: "B24", name: "session -1", send: session(-1, 1), want: "all FETCH_SESSION_ID_NOT_FOUND"},
		{row: "B24", name: "no session, epoch 1", send: session(0, 1), want: "all FETCH_SESSION_ID_NOT_FOUND"},
		{row: "B24", name: "no session, epoch -5", send: session(0, -5), want: "all FETCH_SESSION_ID_NOT_FOUND"},
		{row: "B24", name: "session of another connection", send: after(12, func(request) {}), want: "NONE, one batch"},
		{row: "B24", name: "session with an epoch that was", send: after(12, func(r request) { r.SessionEpoch = 5 }),
			want: "all INVALID_FETCH_SESSION_EPOCH"},
		{row: "B24", name: "session of names, used with IDs", send: after(13, func(request) {}),
			want: "all FETCH_SESSION_TOPIC_ID_ERROR"},
		{row: "B24", name: "session that forgets what it does not have", send: after(12, func(r request) {
			r.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "nosuch", Partitions: []int32{-1, 1 << 30}}}
		}), want: "NONE, one batch"},
	}
}
