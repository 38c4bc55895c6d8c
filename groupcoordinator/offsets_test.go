package groupcoordinator

import (
	"errors"
	"strings"
	"testing"
	"time"

	"once/log/batch"
)

// Groups scenario 30.
func TestCommitWithoutMembersMakesASimpleGroup(t *testing.T) {
	w := newWorld(t)
	isErr(t, "commit", w.commit("s", "t", 0, 42), nil)
	check := func() {
		t.Helper()
		w.wantOffset("s", "t", 0, true, 42)
		list, _ := w.c.List()
		if len(list) != 1 || list[0] != (Listed{GroupID: "s", Type: TypeClassic, State: Empty}) {
			t.Errorf("listed %+v", list)
		}
	}
	check()
	w.restart()
	check()
	isErr(t, "empty group ID", w.commit("", "t", 0, 1), nil)
	w.wantOffset("", "t", 0, false, 1)
}

// Groups scenarios 31, 32, 33, and the rows of groups 10.
func TestWhoMayCommit(t *testing.T) {
	w := newWorld(t)
	isErr(t, "unknown group with a generation", w.commit("g", "t", 0, 1, as("", 5)), ErrGroupNotFound)
	ids, gen := w.stable("g", i1(), nil)
	instance := func(id string) commitOption { return func(r *CommitRequest) { r.InstanceID = &id } }
	isErr(t, "nobody", w.commit("g", "t", 0, 1), ErrUnknownMember)
	isErr(t, "member", w.commit("g", "t", 0, 1, as(ids[0], gen)), nil)
	isErr(t, "stranger", w.commit("g", "t", 0, 1, as("x", gen)), ErrUnknownMember)
	isErr(t, "old generation", w.commit("g", "t", 0, 1, as(ids[0], gen-1)), ErrIllegalGeneration)
	isErr(t, "no generation", w.commit("g", "t", 0, 1, as(ids[0], -1)), ErrIllegalGeneration)
	isErr(t, "unknown instance", w.commit("g", "t", 0, 1, as(ids[0], gen), instance("i2")), ErrUnknownMember)
	isErr(t, "other's instance", w.commit("g", "t", 0, 1, as(ids[1], gen), instance("i1")), ErrFencedInstance)
	w.join("g", withID(ids[0]), withInstance("i1"))
	isErr(t, "preparing", w.commit("g", "t", 0, 2, as(ids[1], gen)), nil)
	now(t, w.join("g", withID(ids[1])))
	isErr(t, "completing", w.commit("g", "t", 0, 3, as(ids[1], gen+1)), ErrRebalanceInProgress)
	isErr(t, "completing, old generation", w.commit("g", "t", 0, 3, as(ids[1], gen)), ErrIllegalGeneration)
	w.wantOffset("g", "t", 0, true, 2)
	w.leave("g", LeaveMember{MemberID: ids[0]}, LeaveMember{MemberID: ids[1]})
	isErr(t, "empty, whatever ID", w.commit("g", "t", 0, 4, as("x", -1)), nil)
	isErr(t, "empty, generation", w.commit("g", "t", 0, 4, as("x", gen+2)), ErrUnknownMember)
}

// Groups 4: a commit keeps the session alive; groups 12: a transactional one does not.
func TestCommitExtendsTheSession(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil)
	w.clock.Advance(session - 1)
	isErr(t, "commit", w.commit("g", "t", 0, 1, as(ids[0], gen)), nil)
	w.clock.Advance(session - 1)
	isErr(t, "still there", w.stage(1, "g", "t", 0, 2, ids[0], gen), nil)
	w.clock.Advance(1)
	isErr(t, "staging is no sign of life", w.heartbeat("g", ids[0], gen), ErrUnknownMember)
}

// Groups scenario 34.
func TestTooMuchMetadataIsRefusedForItsPartitionOnly(t *testing.T) {
	w := newWorld(t)
	r := now(t, w.c.CommitOffsets(&CommitRequest{GroupID: "g", Generation: -1, Retention: -1, Offsets: []OffsetCommit{
		{Topic: "t", Partition: 0, Offset: 1, Metadata: strings.Repeat("m", 4097)},
		{Topic: "t", Partition: 1, Offset: 1, Metadata: strings.Repeat("é", 4096)},
	}}))
	isErr(t, "request", r.Err, nil)
	isErr(t, "4097 characters", r.Offsets[0], ErrMetadataTooLarge)
	isErr(t, "4096 characters", r.Offsets[1], nil)
	w.wantOffset("g", "t", 0, false, -1)
	w.wantOffset("g", "t", 1, false, 1)
}

// Groups scenario 36, and null topics of a group that has offsets.
func TestFetch(t *testing.T) {
	w := newWorld(t)
	w.wantOffset("none", "t", 0, true, -1)
	all := func(group string) FetchResult {
		return now(t, w.c.FetchOffsets(&FetchRequest{GroupID: group, All: true}))
	}
	if r := all("none"); r.Err != nil || len(r.Topics) != 0 {
		t.Errorf("%+v", r)
	}
	w.commit("g", "b", 1, 5)
	w.commit("g", "b", 0, -7) // values are not checked
	w.commit("g", "a", 2, 6)
	r := all("g")
	if len(r.Topics) != 2 || r.Topics[0].Topic != "a" || len(r.Topics[1].Partitions) != 2 || r.Topics[1].Partitions[0].Offset != -7 {
		t.Errorf("%+v", r)
	}
}

// Groups 11: the offset of a topic that was made anew does not count.
func TestOffsetOfAnotherTopicOfThatNameIsAbsent(t *testing.T) {
	w := newWorld(t)
	r := CommitRequest{GroupID: "g", Generation: -1, Retention: -1, Offsets: []OffsetCommit{{Topic: "t", TopicID: [16]byte{1}, Offset: 3}}}
	now(t, w.c.CommitOffsets(&r))
	w.restart()
	for id, want := range map[byte]int64{0: 3, 1: 3, 2: -1} {
		f := FetchRequest{GroupID: "g", Topics: []FetchTopic{{Topic: "t", TopicID: [16]byte{id}, Partitions: []int32{0}}}}
		if got := now(t, w.c.FetchOffsets(&f)).Topics[0].Partitions[0].Offset; got != want {
			t.Errorf("asked with ID %d: %d, want %d", id, got, want)
		}
	}
}

// Groups scenario 38; transactions scenarios 88, 89, 90, 100: also across a restart between staging and the end.
func TestStagedOffsetsShowWhenTheTransactionCommits(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for end, want := range map[batch.MarkerType]int64{batch.Commit: 10, batch.Abort: 3} {
			w := newWorld(t)
			ids, gen := w.stable("g", nil)
			w.commit("g", "t", 0, 3, as(ids[0], gen))
			w.commit("g", "t", 1, 4, as(ids[0], gen))
			isErr(t, "stage", w.stage(1000, "g", "t", 0, 10, ids[0], gen), nil)
			if restart {
				w.restart()
			}
			w.wantOffset("g", "t", 0, true, unstable)
			w.wantOffset("g", "t", 0, false, 3)
			w.wantOffset("g", "t", 1, true, 4)
			all := now(t, w.c.FetchOffsets(&FetchRequest{GroupID: "g", All: true, RequireStable: true})).Topics[0].Partitions
			if !errors.Is(all[0].Err, ErrUnstableOffset) || all[1].Err != nil {
				t.Errorf("all: %+v", all)
			}
			w.end(1000, "g", end)
			w.wantOffset("g", "t", 0, true, want)
			w.restart()
			w.wantOffset("g", "t", 0, true, want)
		}
	}
}

// Groups scenario 39, transactions scenario 96.
func TestLaterPlainCommitWinsOverTheTransaction(t *testing.T) {
	w := newWorld(t)
	w.commit("g", "t", 0, 1)
	w.stage(1000, "g", "t", 0, 10, "", -1)
	w.commit("g", "t", 0, 20)
	w.end(1000, "g", batch.Commit)
	w.wantOffset("g", "t", 0, true, 20)
	w.restart()
	w.wantOffset("g", "t", 0, true, 20)
}

// Groups scenario 40, transactions scenario 97; the same for the group and for the topic (P27).
func TestDeletionTakesStagedOffsetsAlong(t *testing.T) {
	for name, erase := range map[string]func(w *world) error{
		"offset": func(w *world) error {
			r := now(t, w.c.DeleteOffsets(&DeleteOffsetsRequest{GroupID: "g", Offsets: []TopicPartition{{"t", 0}}}))
			return errors.Join(r.Err, r.Offsets[0])
		},
		"group": func(w *world) error { return now(t, w.c.DeleteGroup("g")).Err },
		"topic": func(w *world) error { return w.c.OnTopicDeleted("t", [16]byte{9}) },
	} {
		for _, committed := range []bool{false, true} {
			w := newWorld(t)
			if committed {
				w.commit("g", "t", 0, 1)
			}
			w.stage(1000, "g", "t", 0, 10, "", -1)
			isErr(t, name, erase(w), nil)
			w.wantOffset("g", "t", 0, true, -1)
			w.end(1000, "g", batch.Commit)
			w.wantOffset("g", "t", 0, true, -1)
			live := dump(w.c)
			w.restart()
			if got := dump(w.c); got != live {
				t.Errorf("%s: replayed\n%s\nlive\n%s", name, got, live)
			}
		}
	}
}

// Groups scenarios 41, 42; transactions scenarios 91 to 95, 99.
func TestWhoMayStage(t *testing.T) {
	w := newWorld(t)
	isErr(t, "unknown group with a generation", w.stage(1, "n", "t", 0, 1, "", 1), ErrGroupNotFound)
	isErr(t, "unknown group", w.stage(1, "n", "t", 0, 1, "", -1), nil)
	isErr(t, "no group ID", w.stage(1, "", "t", 0, 1, "", -1), ErrInvalidGroupID)
	ids, gen := w.stable("g", i1(), nil)
	isErr(t, "nobody", w.stage(1, "g", "t", 0, 1, "", -1), nil)
	isErr(t, "member", w.stage(1, "g", "t", 0, 1, ids[1], gen), nil)
	isErr(t, "old generation", w.stage(1, "g", "t", 0, 1, ids[1], gen-1), ErrIllegalGeneration)
	isErr(t, "stranger", w.stage(1, "g", "t", 0, 1, "x", gen), ErrUnknownMember)
	isErr(t, "generation alone", w.stage(1, "g", "t", 0, 1, "", gen), ErrUnknownMember)
	r := TxnCommitRequest{GroupID: "g", MemberID: ids[1], InstanceID: text("i1"), Generation: gen, ProducerID: 1, Offsets: []OffsetCommit{{Topic: "t"}}}
	isErr(t, "other's instance", now(t, w.c.TxnCommitOffsets(&r, 0)).Err, ErrFencedInstance)
	w.join("g", withID(ids[0]), withInstance("i1"))
	isErr(t, "preparing", w.stage(1, "g", "t", 0, 1, ids[1], gen), nil)
	now(t, w.join("g", withID(ids[1])))
	isErr(t, "completing", w.stage(1, "g", "t", 0, 1, ids[1], gen+1), nil)
	ids, _ = w.stable("e", nil)
	w.leave("e", LeaveMember{MemberID: ids[0]})
	isErr(t, "empty group, whatever ID", w.stage(1, "e", "t", 0, 1, "x", -1), nil)
	isErr(t, "empty group, generation", w.stage(1, "e", "t", 0, 1, "x", 2), ErrUnknownMember)
	ids, gen = w.stable("f", nil)
	fenced := errors.New("fenced")
	w.stateLog("f").before = func(int64, int16) error { return fenced }
	isErr(t, "fenced producer", w.stage(1, "f", "t", 0, 2, ids[0], gen), fenced)
}

// Transactions scenario 101.
func TestPartitionIsUnstableUntilTheLastTransactionEnds(t *testing.T) {
	w := newWorld(t)
	w.stage(1, "g", "t", 0, 10, "", -1)
	w.stage(2, "g", "t", 0, 20, "", -1)
	w.end(1, "g", batch.Commit)
	w.wantOffset("g", "t", 0, true, unstable)
	w.wantOffset("g", "t", 0, false, 10)
	w.end(2, "g", batch.Abort)
	w.wantOffset("g", "t", 0, true, 10)
	w.end(3, "g", batch.Commit) // nothing staged: the marker is written and means nothing
	w.wantOffset("g", "t", 0, true, 10)
}

// An offset staged twice, and in two groups of one partition, by one producer.
func TestTransactionOverSeveralGroups(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Partitions = 1 })
	w.stage(1, "g", "t", 0, 10, "", -1)
	w.stage(1, "h", "t", 0, 30, "", -1)
	w.stage(1, "g", "t", 0, 11, "", -1)
	w.end(1, "g", batch.Commit)
	w.wantOffset("g", "t", 0, true, 11)
	w.wantOffset("h", "t", 0, true, 30)
}

// A marker that cannot be written reveals nothing.
func TestMarkerThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	w.stage(1, "g", "t", 0, 10, "", -1)
	broken := errors.New("disk")
	w.stateLog("g").fail = broken
	err := w.c.Participant(w.c.PartitionFor("g")).ApplyMarker(batch.Marker{ProducerID: 1, Type: batch.Commit}, 2)
	isErr(t, "marker", err, broken)
	w.wantOffset("g", "t", 0, false, -1)
}

// Groups scenario 44.
func TestDeleteGroup(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil)
	w.commit("g", "t", 0, 5, as(ids[0], gen))
	isErr(t, "stable", now(t, w.c.DeleteGroup("g")).Err, ErrGroupNotEmpty)
	isErr(t, "unknown", now(t, w.c.DeleteGroup("h")).Err, ErrGroupNotFound)
	w.leave("g", LeaveMember{MemberID: ids[0]})
	isErr(t, "empty", now(t, w.c.DeleteGroup("g")).Err, nil)
	for range 2 {
		w.wantOffset("g", "t", 0, true, -1)
		if got := w.state("g"); got != Dead {
			t.Error(got)
		}
		w.restart()
	}
}

// A group with more offsets than one batch of tombstones holds.
// A group goes in one batch, the offsets of a topic in three.
func TestDeleteGroupWithManyOffsets(t *testing.T) {
	w := newWorld(t)
	r := CommitRequest{GroupID: "g", Generation: -1, Retention: -1}
	for p := range int32(2*DefaultTombstonesPerBatch + 1) {
		r.Offsets = append(r.Offsets, OffsetCommit{Topic: "t", Partition: p, Offset: 1})
	}
	now(t, w.c.CommitOffsets(&r))
	isErr(t, "delete", now(t, w.c.DeleteGroup("g")).Err, nil)
	if got := dump(w.c); got != "" {
		t.Errorf("left: %.200s", got)
	}
	now(t, w.c.CommitOffsets(&r))
	isErr(t, "delete topic", w.c.OnTopicDeleted("t", [16]byte{}), nil)
	isErr(t, "delete the empty group", now(t, w.c.DeleteGroup("g")).Err, nil)
	if got := dump(w.c); got != "" {
		t.Errorf("left: %.200s", got)
	}
	w.restart()
	if got := dump(w.c); got != "" {
		t.Errorf("left after a restart: %.200s", got)
	}
}

// Groups scenario 45.
func TestDeleteOffsets(t *testing.T) {
	w := newWorld(t)
	del := func(group, topic string) (error, error) {
		r := now(t, w.c.DeleteOffsets(&DeleteOffsetsRequest{GroupID: group, Offsets: []TopicPartition{{topic, 0}}}))
		if r.Err != nil {
			return r.Err, nil
		}
		return nil, r.Offsets[0]
	}
	ids, gen := w.stable("g", nil)
	w.commit("g", "t", 0, 5, as(ids[0], gen))
	w.commit("g", "u", 0, 6, as(ids[0], gen))
	check := func(what, group, topic string, wantTop, want error) {
		t.Helper()
		top, each := del(group, topic)
		isErr(t, what, top, wantTop)
		isErr(t, what, each, want)
	}
	check("subscribed", "g", "t", nil, ErrSubscribed)
	check("other topic", "g", "u", nil, nil)
	check("no offset", "g", "v", nil, nil)
	check("unknown group", "h", "t", ErrGroupNotFound, nil)
	check("no group ID", "", "t", ErrInvalidGroupID, nil)
	w.stable("c", []joinOption{withType("connect")})
	check("connect", "c", "t", ErrGroupNotEmpty, nil)
	w.wantOffset("g", "t", 0, true, 5)
	w.wantOffset("g", "u", 0, true, -1)
	w.stable("unreadable", []joinOption{withProtocols("range", "?")})
	check("unreadable subscription", "unreadable", "t", nil, ErrSubscribed)
}

// Groups scenario 48.
func TestTopicDeletionErasesItsOffsets(t *testing.T) {
	w := newWorld(t)
	for _, g := range []string{"a", "b", "c", "d"} {
		w.commit(g, "t", 0, 1)
		w.commit(g, "u", 0, 2)
	}
	w.stage(1, "a", "t", 1, 5, "", -1)
	isErr(t, "hook", w.c.OnTopicDeleted("t", [16]byte{1}), nil)
	w.end(1, "a", batch.Commit)
	for range 2 {
		for _, g := range []string{"a", "b", "c", "d"} {
			w.wantOffset(g, "t", 0, true, -1)
			w.wantOffset(g, "u", 0, true, 2)
		}
		w.wantOffset("a", "t", 1, true, -1)
		w.restart()
	}
}

const day = 24 * time.Hour

// Groups scenario 46, the group with members once.
func TestOffsetsOfAnEmptyGroupExpireFromWhenItBecameEmpty(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.OffsetsRetention = 7 * day })
	long := []joinOption{withSession(30 * time.Minute)}
	ids, gen := w.stable("g", long)
	w.commit("g", "t", 0, 5, as(ids[0], gen))
	w.clock.Advance(20 * time.Minute)
	w.leave("g", LeaveMember{MemberID: ids[0]})
	w.restart()
	w.clock.Advance(7*day - time.Minute)
	w.wantOffset("g", "t", 0, true, 5)
	w.clock.Advance(10 * time.Minute) // the next check
	w.wantOffset("g", "t", 0, true, -1)
	if got := w.state("g"); got != Dead {
		t.Error(got)
	}
	w.restart()
	if got := dump(w.c); got != "" {
		t.Error(got)
	}
}

func TestOffsetsOfASimpleGroupExpireFromTheirCommit(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.OffsetsRetention = 7 * day })
	w.commit("s", "t", 0, 1)
	w.clock.Advance(day)
	w.commit("s", "t", 1, 2)
	w.clock.Advance(6 * day)
	w.wantOffset("s", "t", 0, true, -1)
	w.wantOffset("s", "t", 1, true, 2)
	w.clock.Advance(day)
	if got := w.state("s"); got != Dead {
		t.Error(got)
	}
}

// Groups scenario 47, and the other rows of groups 13 for groups with members.
func TestStableGroupKeepsWhatItSubscribesTo(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.OffsetsRetention, c.RetentionCheckInterval = time.Minute, 365*day })
	long := withSession(30 * time.Minute)
	for group, option := range map[string]joinOption{"g": withType("consumer"), "c": withType("connect"), "x": withProtocols("range", "?")} {
		ids, gen := w.stable(group, []joinOption{long, option})
		for _, topic := range []string{"t", "t2"} {
			w.commit(group, topic, 0, 5, as(ids[0], gen))
		}
	}
	w.clock.Advance(time.Minute - time.Millisecond)
	w.c.ExpireOffsets()
	w.wantOffset("g", "t2", 0, true, 5)
	w.clock.Advance(time.Millisecond)
	w.c.ExpireOffsets()
	w.wantOffset("g", "t", 0, true, 5)
	w.wantOffset("g", "t2", 0, true, -1)
	w.wantOffset("c", "t2", 0, true, 5)
	w.wantOffset("x", "t2", 0, true, 5)
}

// P27: a staged offset keeps the partition's offset and its group.
func TestExpirySparesWhatATransactionHolds(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.OffsetsRetention, c.RetentionCheckInterval = time.Minute, 365*day })
	w.commit("g", "t", 0, 1)
	w.commit("g", "t", 1, 1)
	w.stage(1, "g", "t", 0, 2, "", -1)
	w.stage(1, "staged only", "t", 0, 2, "", -1)
	w.clock.Advance(time.Hour)
	w.c.ExpireOffsets()
	if got := w.state("staged only"); got != Empty {
		t.Errorf("group that an open transaction has offsets of is %v", got)
	}
	w.wantOffset("g", "t", 0, false, 1)
	w.wantOffset("g", "t", 1, false, -1)
	w.end(1, "g", batch.Commit)
	w.wantOffset("g", "t", 0, true, 2)
	w.c.ExpireOffsets()
	w.wantOffset("g", "t", 0, true, -1)
}

// Groups 10: retention_time_ms of versions 2 to 4.
func TestExplicitExpiry(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.RetentionCheckInterval = 365 * day })
	w.commit("g", "t", 0, 1, func(r *CommitRequest) { r.Retention = time.Hour })
	w.commit("g", "t", 1, 1)
	w.restart()
	w.clock.Advance(time.Hour - time.Millisecond)
	w.c.ExpireOffsets()
	w.wantOffset("g", "t", 0, true, 1)
	w.clock.Advance(time.Millisecond)
	w.c.ExpireOffsets()
	w.wantOffset("g", "t", 0, true, -1)
	w.wantOffset("g", "t", 1, true, 1)
}
