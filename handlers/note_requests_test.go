package handlers

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/findings"
	"once/internal/invariant"
	"once/requestlog"
	"once/wire"
)

// The codes of an answer are found wherever its API has them, each once.
func TestCodesOfEveryAnswer(t *testing.T) {
	for _, row := range rows() {
		r := &wire.Request{Key: row.Key, Version: row.Max, Body: kmsg.RequestForKey(row.Key)}
		fill(reflect.ValueOf(r.Body).Elem(), 0)
		r.Body.SetVersion(row.Max)
		resp := row.fail(r, wire.NotController, "")
		if resp == nil {
			continue
		}
		n := &noted{}
		n.noteCodes(resp)
		if got := n.entry.Codes; !slices.Contains(got, "NOT_CONTROLLER") {
			t.Errorf("%s v%d: %v", kmsg.NameForKey(row.Key), row.Max, got)
		}
	}
}

// A client that pushes its metrics does no work for anybody.
func TestTelemetryIsNoWork(t *testing.T) {
	s := &Services{Requests: requestlog.New(1 << 20)}
	for key, want := range map[kmsg.Key]bool{kmsg.GetTelemetrySubscriptions: false, kmsg.PushTelemetry: false,
		kmsg.Produce: true} {
		if got := s.countsAsWork(&wire.Request{Key: int16(key)}); got != want {
			t.Errorf("%s counts: %v", key.Name(), got)
		}
	}
}

// What it costs to remember a Produce of one partition.
func BenchmarkNoteRequest(b *testing.B) {
	note := notedProduce(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		note(b.Context())
	}
}

// To remember a Produce allocates the name of its topic only, which would be that of the topic itself if there were
// one.
func TestNotingARequestAllocatesNothing(t *testing.T) {
	note := notedProduce(1000)
	for range 100 { // the log has no more room
		note(t.Context())
	}
	limit := 1.0
	if invariant.Enabled { // also with the race detector, with which pools forget
		limit = 20
	}
	if n := testing.AllocsPerRun(1000, func() { note(t.Context()) }); n > limit {
		t.Errorf("%v allocations", n)
	}
}

// notedProduce has a Produce of one partition remembered each time that it is called.
func notedProduce(logBytes int) func(context.Context) {
	s := &Services{Requests: requestlog.New(logBytes)}
	body := kmsg.NewPtrProduceRequest()
	body.Version, body.Acks = 12, -1
	body.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", Partitions: make([]kmsg.ProduceRequestTopicPartition, 1)}}
	resp := kmsg.NewPtrProduceResponse()
	resp.Topics = []kmsg.ProduceResponseTopic{{Topic: "orders", Partitions: make([]kmsg.ProduceResponseTopicPartition, 1)}}
	r := &wire.Request{Key: int16(kmsg.Produce), Version: 12, Body: body, ClientID: "bench"}
	api := &row{API: wire.API{Key: r.Key}, subjects: aboutProduce}
	pass := s.noteRequest(func(context.Context, *wire.Request, *row) wire.Reply { return wire.Respond(resp) })
	return func(ctx context.Context) { pass(ctx, r, api) }
}

// What it costs to notice what a Produce, and a commit of one offset, say about their client: of a Produce nothing.
func BenchmarkNoteFindings(b *testing.B) {
	s := &Services{Findings: findings.New(4<<20, nil)}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.MemberID = "group", "member"
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "orders",
		Partitions: make([]kmsg.OffsetCommitRequestTopicPartition, 1)}}
	committed := kmsg.NewPtrOffsetCommitResponse()
	committed.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "orders",
		Partitions: make([]kmsg.OffsetCommitResponseTopicPartition, 1)}}
	for _, c := range []struct {
		body kmsg.Request
		resp kmsg.Response
	}{{kmsg.NewPtrProduceRequest(), kmsg.NewPtrProduceResponse()}, {commit, committed}} {
		b.Run(kmsg.NameForKey(c.body.Key()), func(b *testing.B) {
			r := &wire.Request{Key: c.body.Key(), Body: c.body, ClientID: "bench"}
			pass := s.noteFindings(func(context.Context, *wire.Request, *row) wire.Reply { return wire.Respond(c.resp) })
			b.ReportAllocs()
			for b.Loop() {
				pass(b.Context(), r, nil)
			}
		})
	}
}
