package handlers

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/clock"
	"once/wire"
)

// sessionModel is what a client may rely on: a session that is in use, and no smaller than those that come, stays.
type sessionModel struct {
	created, used time.Time
	size          int
}

// Whatever is opened, used and closed, and however few slots there are: there are never more sessions than slots, a
// session only makes room when it may, and nothing else goes.
func TestFetchSessionsKeepToTheirSlots(t *testing.T) {
	for _, slots := range []int{1, 2, 7} {
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, uint64(slots)))
			manual := clock.NewManual(time.Unix(1_000_000, 0))
			fs, known := newFetchSessions(slots, manual), map[int32]*sessionModel{}
			for range 400 {
				now := manual.Now()
				switch random.IntN(5) {
				case 0, 1:
					parts := make([]*fetchPartition, 1+random.IntN(4))
					for i := range parts {
						parts[i] = &fetchPartition{key: fetchKey{topic: "x", partition: int32(i)}}
					}
					s := fs.create(parts, false)
					var gone []*sessionModel
					for id, m := range known {
						if fs.mu.byID[id] == nil {
							gone = append(gone, m)
							delete(known, id)
						}
					}
					may := func(m *sessionModel) bool {
						return now.Sub(m.used) > sessionIdle || now.Sub(m.created) > sessionIdle && m.size < len(parts)
					}
					if len(gone) > 1 || len(gone) == 1 && (s == nil || !may(gone[0]) || len(known) != slots-1) {
						t.Fatalf("seed %d, %d slots: %d sessions made room: %+v", seed, slots, len(gone), gone)
					}
					if s != nil {
						known[s.id] = &sessionModel{created: now, used: now, size: len(parts)}
						break
					}
					for _, m := range known {
						if len(known) < slots || may(m) {
							t.Fatalf("seed %d, %d slots: no session, though there are %d, one of them %+v at %v",
								seed, slots, len(known), m, now)
						}
					}
				case 2:
					for id, m := range known {
						if fs.get(id) == nil {
							t.Fatalf("seed %d, %d slots: session %d is gone", seed, slots, id)
						}
						m.used = now
						break
					}
				case 3:
					for id := range known {
						fs.remove(id)
						delete(known, id)
						break
					}
				default:
					manual.Advance(time.Duration(random.Int64N(int64(sessionIdle))))
				}
				if len(fs.mu.byID) != len(known) || len(known) > slots {
					t.Fatalf("seed %d, %d slots: %d sessions, want %d", seed, slots, len(fs.mu.byID), len(known))
				}
			}
		}
	}
}

// fetchForTest fetches x-0 in a session.
func (s *Services) fetchForTest(session, epoch int32) *kmsg.FetchResponse {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.MaxBytes, r.SessionID, r.SessionEpoch = 12, 1<<20, session, epoch
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = "x"
	topic.Partitions = []kmsg.FetchRequestTopicPartition{kmsg.NewFetchRequestTopicPartition()}
	r.Topics = append(r.Topics, topic)
	reply := s.fetch(context.Background(), &wire.Request{Key: r.Key(), Version: r.Version, Body: r})
	if f, ok := reply.Response.(*fetchResponse); ok {
		return f.FetchResponse
	}
	return reply.Response.(*kmsg.FetchResponse)
}

// Behind max.incremental.fetch.session.cache.slots, with its default of 1,000, a client goes on without a session.
func TestFetchSessionsBeyondTheDefault(t *testing.T) {
	s := newServices(t, &blocks{})
	s.Open()
	slots := s.Settings.MaxIncrementalFetchSessionCacheSlots
	if slots != 1000 {
		t.Fatalf("%d slots", slots)
	}
	var ids []int32
	seen := map[int32]bool{}
	for i := range slots + 3 {
		r := s.fetchForTest(0, 0)
		if r.ErrorCode != 0 || len(r.Topics) != 1 || (r.SessionID == 0) != (i >= slots) || seen[r.SessionID] &&
			i < slots {
			t.Fatalf("fetch %d: session %d, code %d", i, r.SessionID, r.ErrorCode)
		}
		seen[r.SessionID] = true
		ids = append(ids, r.SessionID)
	}
	s.fetchForTest(ids[5], -1) // ends it
	if r := s.fetchForTest(0, 0); r.SessionID == 0 {
		t.Error("no session in the place of one that has ended")
	}
	if r := s.fetchForTest(0, 0); r.SessionID != 0 {
		t.Error("a session beyond the slots")
	}
	for i, id := range ids[:slots] {
		want := wire.NoError
		if i == 5 {
			want = wire.FetchSessionIDNotFound
		}
		if r := s.fetchForTest(id, 1); r.ErrorCode != int16(want) {
			t.Errorf("session %d: code %d, want %d", i, r.ErrorCode, want)
		}
	}
}

// The epochs of a session go around: behind 2^31 - 1 comes 1, since 0 asks for a new session.
func TestEpochsOfASessionGoAround(t *testing.T) {
	s := newServices(t, &blocks{})
	s.Open()
	id := s.fetchForTest(0, 0).SessionID
	session := s.sessions.get(id)
	session.epoch = lastSessionEpoch - 1
	for _, epoch := range []int32{lastSessionEpoch - 1, lastSessionEpoch, 1, 2} {
		for _, wrong := range []int32{epoch - 2, epoch + 1, math.MinInt32, -2} {
			if wrong == 0 || wrong == -1 {
				continue // these begin or end a session
			}
			if r := s.fetchForTest(id, wrong); r.ErrorCode != int16(wire.InvalidFetchSessionEpoch) {
				t.Errorf("epoch %d where %d is due: code %d", wrong, epoch, r.ErrorCode)
			}
		}
		if r := s.fetchForTest(id, epoch); r.ErrorCode != 0 || r.SessionID != id {
			t.Errorf("epoch %d: session %d, code %d", epoch, r.SessionID, r.ErrorCode)
		}
	}
}

// A session over any number of partitions has each of them once, and those with something to say.
func TestSessionsOfManyPartitions(t *testing.T) {
	fs := newFetchSessions(1, clock.NewManual(time.Unix(1, 0)))
	var parts []*fetchPartition
	for i := range 5000 {
		parts = append(parts, &fetchPartition{key: fetchKey{topic: fmt.Sprint("t", i%7), partition: int32(i / 7)},
			offset: int64(i)})
	}
	s := fs.create(parts, false)
	for i := range parts {
		s.put(&fetchPartition{key: parts[i].key, offset: int64(2 * i)})
		if i%3 == 0 {
			s.forget(parts[i].key)
		}
	}
	seen := map[fetchKey]bool{}
	for _, p := range s.partitions() {
		if seen[p.key] || p.offset != 2*parts[int(p.key.partition)*7+int(p.key.topic[1]-'0')].offset {
			t.Fatalf("%+v", p)
		}
		seen[p.key] = true
	}
	if want := 5000 - (5000+2)/3; len(seen) != want || s.size() != want {
		t.Errorf("%d partitions, want %d", len(seen), want)
	}
}

// A fetch by ID that waits when its topic is deleted is answered at once, by the name that the ID had. So Kafka 4.4.0
// answers; one that comes later meets an unknown ID.
func TestWaitingFetchKeepsTheNameOfItsTopic(t *testing.T) {
	s := newServices(t, &blocks{next: 7})
	s.Open()
	topic, _ := s.Catalogue.Topic("x")
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.SessionEpoch, r.MaxWaitMillis, r.MinBytes, r.MaxBytes = 13, -1, 3_600_000, 1, 1000
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes = 1000
	r.Topics = []kmsg.FetchRequestTopic{{TopicID: topic.ID, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	ask := func() wire.Reply {
		return s.fetch(t.Context(), &wire.Request{Key: r.Key(), Version: r.Version, Body: r})
	}
	codeOf := func(resp kmsg.Response) wire.Code {
		return wire.Code(resp.(*fetchResponse).Topics[0].Partitions[0].ErrorCode)
	}
	waiting := ask()
	if waiting.Then == nil {
		t.Fatal("a fetch of an empty partition does not wait")
	}
	if err := s.Topics.Delete("x"); err != nil {
		t.Fatal(err)
	}
	if code := codeOf(waiting.Then(t.Context())); code != wire.UnknownTopicOrPartition {
		t.Errorf("the fetch that waited: %v", code)
	}
	if code := codeOf(ask().Response); code != wire.UnknownTopicID {
		t.Errorf("a fetch that comes later: %v", code)
	}
}
