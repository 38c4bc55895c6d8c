package groupcoordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability"
	"once/internal/clock"
	"once/log/batch"
)

// commitOf asks to commit n offsets of one group.
func commitOf(group string, n int, metadata string) *CommitRequest {
	r := CommitRequest{GroupID: group, Generation: -1, Retention: -1}
	for p := range int32(n) {
		r.Offsets = append(r.Offsets, OffsetCommit{Topic: "t", Partition: p, Offset: int64(p), LeaderEpoch: -1,
			Metadata: metadata})
	}
	return &r
}

// offsetsOf counts the offsets of a group that are shown.
func (w *world) offsetsOf(group string) int {
	w.t.Helper()
	n := 0
	for _, topic := range now(w.t, w.c.FetchOffsets(&FetchRequest{GroupID: group, All: true})).Topics {
		n += len(topic.Partitions)
	}
	return n
}

// A commit whose records do not fit one batch is refused whole; the largest one that does is stored.
func TestCommitIsAsLargeAsABatch(t *testing.T) {
	for name, tc := range map[string]struct {
		maxBytes int
		group    string
		metadata string
	}{
		"1300 bytes":                     {1300, "g", ""}, // ten offsets
		"default, group ID of 32767":     {0, strings.Repeat("g", 32767), ""},
		"default, metadata of 4096":      {0, "g", strings.Repeat("m", 4096)},
		"default, nothing but partition": {0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.MaxBatchBytes = tc.maxBytes })
			max := w.c.cfg.MaxBatchBytes
			one := offsetRecord(tc.group, tc.metadata)
			fits := max / one.maxBytes()
			isErr(t, "one more", now(t, w.c.CommitOffsets(commitOf(tc.group, fits+1, tc.metadata))).Err,
				ErrBatchTooLarge)
			staged := &TxnCommitRequest{GroupID: tc.group, Generation: -1, ProducerID: 1,
				Offsets: commitOf(tc.group, fits+1, tc.metadata).Offsets}
			if tc.group != "" {
				isErr(t, "one more, staged", now(t, w.c.TxnCommitOffsets(staged, 7)).Err, ErrBatchTooLarge)
			}
			if n := len(w.stateLog(tc.group).batches); n != 0 {
				t.Fatalf("%d batches were written", n)
			}
			isErr(t, "as many as fit", now(t, w.c.CommitOffsets(commitOf(tc.group, fits, tc.metadata))).Err, nil)
			if raw := w.stateLog(tc.group).batches[0]; len(raw) > max+batch.HeaderSizeBytes {
				t.Errorf("a batch of %d bytes was written, %d allowed", len(raw), max)
			}
			for range 2 {
				if n := w.offsetsOf(tc.group); n != fits {
					t.Errorf("%d offsets, want %d", n, fits)
				}
				w.restart()
			}
		})
	}
}

func offsetRecord(group, metadata string) *record {
	return &record{kind: kindOffset, group: group, topic: "t", offset: committed{metadata: metadata}}
}

// A group that cannot be stored is given to nobody, and its members try again.
func TestGroupIsAsLargeAsABatch(t *testing.T) {
	for name, tc := range map[string]struct{ maxBytes, assignmentBytes int }{
		"2000 bytes": {2000, 1500},
		"default":    {0, DefaultMaxBatchBytes - 1000},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.MaxBatchBytes = tc.maxBytes })
			first := now(t, w.join("g"))
			large := strings.Repeat("a", tc.assignmentBytes)
			r := now(t, w.sync("g", first.MemberID, first.Generation, first.MemberID, large+strings.Repeat("a", 1000)))
			isErr(t, "too large", r.Err, ErrBatchTooLarge)
			if w.state("g") != PreparingRebalance {
				t.Fatal(w.state("g"))
			}
			again := now(t, w.join("g", withID(first.MemberID)))
			if again.Err != nil || again.Generation != first.Generation+1 {
				t.Fatalf("%+v", again)
			}
			if r := now(t, w.sync("g", first.MemberID, again.Generation, first.MemberID, large)); r.Err != nil ||
				string(r.Assignment) != large {
				t.Fatalf("%d bytes, %v", len(r.Assignment), r.Err)
			}
			before := dump(w.c)
			w.restart()
			if dump(w.c) != before {
				t.Error("a restart brought back something else")
			}
		})
	}
}

// cutLog takes so many batches more and then fails.
type cutLog struct {
	*memStateLog
	left int
}

func (l *cutLog) AppendCoordinator(raw []byte, answer durability.Answer) (Appended, error) {
	if l.left--; l.left < 0 {
		return Appended{}, errors.New("disk")
	}
	return l.memStateLog.AppendCoordinator(raw, answer)
}

// A deletion in several batches, as that of a topic's offsets, that is cut short behind any of them has deleted what is
// written, and goes on when it is repeated. What a client asks to delete is one batch: all of it goes, or nothing.
func TestDeletionThatIsCutShort(t *testing.T) {
	const offsets = 7
	deletions := map[string]func(*Coordinator) error{
		"group": func(c *Coordinator) error { return now(t, c.DeleteGroup("g")).Err },
		"topic": func(c *Coordinator) error { return c.OnTopicDeleted("t", [16]byte{}) },
		"offsets": func(c *Coordinator) error {
			r := DeleteOffsetsRequest{GroupID: "g"}
			for p := range int32(offsets) {
				r.Offsets = append(r.Offsets, TopicPartition{"t", p})
			}
			return now(t, c.DeleteOffsets(&r)).Err
		},
	}
	for name, remove := range deletions {
		for perBatch := 1; perBatch <= offsets+2; perBatch++ {
			for batches := 0; ; batches++ {
				w := newWorld(t, func(c *Config) { c.Partitions, c.TombstonesPerBatch = 1, perBatch })
				now(t, w.c.CommitOffsets(commitOf("g", offsets, "")))
				log := &cutLog{w.stateLogs[0], 1 << 20}
				w.cfg.StateLogs = func(int32) StateLog { return log }
				w.restart()
				log.left = batches
				err := remove(w.c)
				left := max(0, offsets-batches*perBatch)
				if name != "topic" && batches > 0 {
					left = 0
				}
				if n := w.offsetsOf("g"); n != left {
					t.Fatalf("%s, %d in a batch, %d batches: %d offsets are left, want %d", name, perBatch, batches,
						n, left)
				}
				live := dump(w.c)
				w.restart()
				if got := dump(w.c); got != live {
					t.Fatalf("%s, %d in a batch, %d batches: live\n%s\nreplayed\n%s", name, perBatch, batches, live,
						got)
				}
				if err == nil {
					break
				}
				isErr(t, name, err, ErrNotWritten)
				log.left = 1 << 20
				if err := remove(w.c); err != nil || w.offsetsOf("g") != 0 {
					t.Fatalf("%s, repeated: %v, %d offsets are left", name, err, w.offsetsOf("g"))
				}
			}
		}
	}
}

// Tombstones that repeat a long group ID are cut into batches by their size, at the real one. A client that asks for
// more than one batch is refused, as by Kafka.
func TestDeleteGroupWithALongID(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Partitions = 1 })
	id, n := strings.Repeat("g", 32767), 0
	for range 4 {
		r := commitOf(id, 200, "")
		for i := range r.Offsets {
			r.Offsets[i].Partition += int32(n)
		}
		isErr(t, "commit", now(t, w.c.CommitOffsets(r)).Err, nil)
		n += 200
	}
	written := len(w.stateLogs[0].batches)
	before := dump(w.c)
	isErr(t, "delete", now(t, w.c.DeleteGroup(id)).Err, ErrBatchTooLarge)
	if dump(w.c) != before || len(w.stateLogs[0].batches) != written {
		t.Error("a deletion that was refused has deleted something")
	}
	isErr(t, "delete the topic", w.c.OnTopicDeleted("t", [16]byte{}), nil)
	isErr(t, "delete", now(t, w.c.DeleteGroup(id)).Err, nil)
	if got := dump(w.c); got != "" {
		t.Errorf("left: %.200s", got)
	}
	batches := w.stateLogs[0].batches[written:]
	if len(batches) < 4 {
		t.Errorf("%d batches", len(batches))
	}
	for _, raw := range batches {
		if len(raw) > DefaultMaxBatchBytes+batch.HeaderSizeBytes {
			t.Errorf("a batch of tombstones of %d bytes", len(raw))
		}
	}
	w.restart()
	if got := dump(w.c); got != "" {
		t.Errorf("left after a restart: %.200s", got)
	}
}

// The metadata of an offset is counted in UTF-16 units, at any size.
func TestOffsetMetadataIsCounted(t *testing.T) {
	for _, most := range []int{1, 2, 100, DefaultOffsetMetadataMaxBytes} {
		w := newWorld(t, func(c *Config) { c.OffsetMetadataMaxBytes = most })
		for _, c := range []string{"m", "é", "漢", "😀"} {
			units := utf16Len(c)
			for n := max(most/units-1, 0); n <= most/units+1; n++ {
				r := now(t, w.c.CommitOffsets(&CommitRequest{GroupID: "g", Generation: -1, Retention: -1,
					Offsets: []OffsetCommit{{Topic: "t", Metadata: strings.Repeat(c, n)}}}))
				refused := r.Err != nil || r.Offsets != nil && errors.Is(r.Offsets[0], ErrMetadataTooLarge)
				if refused != (n*units > most) {
					t.Errorf("%d times %s, %d allowed: refused %v", n, c, most, refused)
				}
			}
		}
	}
}

// A group takes as many members as its maximum says, one by one and when all join anew.
func TestGroupTakesItsMaximum(t *testing.T) {
	for _, most := range []int{1, 2, 7} {
		w := newWorld(t, func(c *Config) { c.MaxSize = most })
		ids, gen := w.stable("g", make([][]joinOption, most)...)
		for range 3 {
			isErr(t, "one more", now(t, w.join("g")).Err, ErrGroupFull)
			isErr(t, "one more, with an ID first", now(t, w.join("g", version(5))).Err, ErrGroupFull)
		}
		for _, id := range ids {
			isErr(t, "member", w.heartbeat("g", id, gen), nil)
		}
		w.join("g", withID(ids[0])) // the leader rebalances
		for i, id := range ids[1:] {
			f := w.join("g", withID(id))
			if i == most-2 {
				if r := now(t, f); r.Err != nil || r.Generation != gen+1 {
					t.Errorf("%d members: %+v", most, r)
				}
			}
		}
		if d, _ := w.c.Describe("g"); len(d.Members) != most {
			t.Errorf("%d members, want %d", len(d.Members), most)
		}
	}
}

// What a batch may inflate to ends Load: what it holds is not known.
func TestLoadRefusesABatchThatInflatesTooFar(t *testing.T) {
	r := offsetRecord("g", strings.Repeat("m", 4000))
	plain := encodeBatch(noProducer, 0, []record{*r}, r.maxBytes())
	inflated := len(plain) - batch.HeaderSizeBytes
	raw := gzipped(t, plain)
	for _, tc := range []struct {
		most int
		ok   bool
	}{{inflated - 1, false}, {inflated, true}, {inflated + 1, true}, {1, false}, {DefaultMaxInflatedBytes, true}} {
		w := newWorld(t, func(c *Config) { c.Partitions, c.MaxInflatedBytes = 1, tc.most })
		w.c.Close()
		if _, err := w.stateLogs[0].append(raw); err != nil {
			t.Fatal(err)
		}
		c, err := New(w.cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.c = c
		if err := c.Load(context.Background()); (err == nil) != tc.ok {
			t.Errorf("a batch that inflates to %d, %d allowed: %v", inflated, tc.most, err)
		}
		if tc.ok {
			w.wantOffset("g", "t", 0, true, 0)
		}
	}
}

// gzipped compresses the records of a batch.
func gzipped(t *testing.T, plain []byte) []byte {
	t.Helper()
	rules := batch.DefaultRules()
	rules.Recompress, rules.Codec = true, batch.Gzip
	raw, _, err := batch.Prepare(bytes.Clone(plain), &rules, 0)
	if err != nil || len(raw) >= len(plain) {
		t.Fatalf("%d bytes of %d, %v", len(raw), len(plain), err)
	}
	return raw
}

// A member ID is its prefix with a UUID, and no longer than a string can be, whatever the prefix.
func TestMemberIDFitsAString(t *testing.T) {
	const uuid = len("-00000000-0000-4000-8000-000000000000")
	for _, c := range []string{"c", "é", "漢", "😀", "\x80"} {
		for n := maxMemberIDBytes - uuid - 5; n <= maxMemberIDBytes; n++ {
			prefix := strings.Repeat("x", n%len(c)) + strings.Repeat(c, n/len(c))
			id := newMemberID(prefix)
			kept := id[:max(0, len(id)-uuid)]
			switch {
			case len(id) > maxMemberIDBytes:
				t.Fatalf("prefix of %d bytes: %d bytes", len(prefix), len(id))
			case !strings.HasPrefix(prefix, kept) || utf8.ValidString(c) &&
				(!utf8.ValidString(id) || len(kept) < min(len(prefix), maxMemberIDBytes-uuid)-utf8.UTFMax+1):
				t.Fatalf("prefix of %d bytes %q: %d of them in the ID", len(prefix), c, len(kept))
			}
		}
	}
}

// The longest client ID and the longest group instance ID give members that are found again after a restart.
func TestMemberOfALongClientSurvivesARestart(t *testing.T) {
	longest := strings.Repeat("x", maxMemberIDBytes)
	w := newWorld(t, func(c *Config) { c.NewMemberID = nil })
	for group, options := range map[string][]joinOption{
		"client":   {func(r *JoinRequest) { r.ClientID = longest }},
		"instance": {withInstance(longest)},
	} {
		ids, gen := w.stable(group, options)
		w.restart()
		isErr(t, group, w.heartbeat(group, ids[0], gen), nil)
	}
}

// storeGeneration puts a group of one member in a generation into the log.
func (w *world) storeGeneration(group string, generation int32) {
	w.t.Helper()
	v := kmsg.NewGroupMetadataValue()
	m := kmsg.NewGroupMetadataValueMember()
	m.MemberID, m.SessionTimeoutMillis, m.RebalanceTimeoutMillis, m.Subscription = "m", 10_000, 60_000,
		[]byte(subscription("t"))
	v.Version, v.ProtocolType, v.Generation, v.Protocol, v.Leader = 3, "consumer", generation, text("range"), text("m")
	v.Members = append(v.Members, m)
	r := ownRecord(classicRecord{group, &v})
	if _, err := w.stateLog(group).append(encodeBatch(noProducer, 0, []record{r}, r.maxBytes())); err != nil {
		w.t.Fatal(err)
	}
}

// Generations go around at 2^31 - 1: what comes behind is 1, never a negative one, which means "none".
func TestGenerationsGoAround(t *testing.T) {
	for _, last := range []int32{lastGeneration, lastGeneration - 1, lastGeneration - generationReserve} {
		w := newWorld(t)
		w.storeGeneration("g", last)
		w.restart()
		isErr(t, "the stored one", w.heartbeat("g", "m", last), nil)
		generation := last
		for range 3 {
			r := now(t, w.join("g", withID("m")))
			if r.Err != nil || r.Generation < 1 || r.Generation == generation {
				t.Fatalf("behind %d: %+v", generation, r)
			}
			generation = r.Generation
			w.assign("g", []string{"m"}, generation)
			isErr(t, fmt.Sprint("generation ", generation), w.heartbeat("g", "m", generation), nil)
			isErr(t, "the one before", w.heartbeat("g", "m", last), ErrIllegalGeneration)
		}
	}
	// Without a restart in between: one by one up to the last.
	g := newClassicGroup(&Config{}, "g", 0)
	g.generation = lastGeneration - 2
	for _, want := range []int32{lastGeneration - 1, lastGeneration, 1, 2} {
		if g.nextGeneration(time.Unix(math.MaxInt32, 0)); g.generation != want {
			t.Errorf("generation %d, want %d", g.generation, want)
		}
	}
}

// Where the wall clock has gone back behind generationEpoch, a restart skips generationReserve generations.
func TestGenerationsAfterARestartWithAWrongClock(t *testing.T) {
	for _, at := range []int64{0, generationEpoch - 1, generationEpoch, generationEpoch + 5 + generationReserve,
		generationEpoch + 7 + generationReserve} {
		w := newWorld(t, func(c *Config) { c.Clock = clock.NewManual(time.Unix(at, 0)) })
		w.storeGeneration("g", 5)
		w.restart()
		want := max(6+generationReserve, int32(at-generationEpoch))
		if r := now(t, w.join("g", withID("m"))); r.Err != nil || r.Generation != want {
			t.Errorf("at %d: %+v, want generation %d", at, r, want)
		}
	}
}
