package handlers

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/findings"
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
		if got := codesOf(resp); !slices.Contains(got, "NOT_CONTROLLER") {
			t.Errorf("%s v%d: %v", kmsg.NameForKey(row.Key), row.Max, got)
		}
	}
}

// A client that pushes its metrics does no work for anybody.
func TestTelemetryIsNoWork(t *testing.T) {
	s := &Services{Requests: requestlog.New(1 << 20)}
	for key, want := range map[kmsg.Key]bool{kmsg.GetTelemetrySubscriptions: false, kmsg.PushTelemetry: false, kmsg.Produce: true} {
		if got := s.countsAsWork(&wire.Request{Key: int16(key)}); got != want {
			t.Errorf("%s counts: %v", key.Name(), got)
		}
	}
}

// What it costs to remember a Produce of one partition.
func BenchmarkNoteRequest(b *testing.B) {
	s := &Services{Requests: requestlog.New(4 << 20)}
	body := kmsg.NewPtrProduceRequest()
	body.Version, body.Acks = 12, -1
	body.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", Partitions: make([]kmsg.ProduceRequestTopicPartition, 1)}}
	resp := kmsg.NewPtrProduceResponse()
	resp.Topics = []kmsg.ProduceResponseTopic{{Topic: "orders", Partitions: make([]kmsg.ProduceResponseTopicPartition, 1)}}
	r := &wire.Request{Key: int16(kmsg.Produce), Version: 12, Body: body, ClientID: "bench"}
	api := &row{API: wire.API{Key: r.Key}, subjects: aboutProduce}
	pass := s.noteRequest(func(context.Context, *wire.Request, *row) wire.Reply { return wire.Respond(resp) })
	b.ReportAllocs()
	for b.Loop() {
		pass(b.Context(), r, api)
	}
}

// What it costs to notice what a Produce, and a commit of one offset, say about their client: of a Produce nothing.
func BenchmarkNoteFindings(b *testing.B) {
	s := &Services{Findings: findings.New(4<<20, nil)}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.MemberID = "group", "member"
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "orders", Partitions: make([]kmsg.OffsetCommitRequestTopicPartition, 1)}}
	committed := kmsg.NewPtrOffsetCommitResponse()
	committed.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "orders", Partitions: make([]kmsg.OffsetCommitResponseTopicPartition, 1)}}
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
