package groupcoordinator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability/durabilitytest"
	"once/groupcoordinator/group"
	"once/log/batch"
)

// P25: a generation that was handed out but never written does not come again.
func TestGenerationIsNotReusedAfterARestart(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil)
	used := map[int32]bool{gen: true}
	for range 3 {
		for i := range 3 {
			r := now(t, w.join("g", withID(ids[0]), withProtocols("range", fmt.Sprint(i))))
			if r.Err != nil || used[r.Generation] {
				t.Fatalf("%+v", r)
			}
			used[r.Generation] = true
		}
		w.clock.Advance(5 * time.Second)
		w.restart()
		isErr(t, "the written one", w.heartbeat("g", ids[0], gen), nil)
	}
}

func TestCloseAnswersWhatIsParked(t *testing.T) {
	w := newWorld(t)
	w.stable("g", nil)
	f := w.join("g")
	w.c.Close()
	isErr(t, "parked", now(t, f).Err, ErrClosed)
	isErr(t, "later", now(t, w.join("g")).Err, ErrClosed)
	isErr(t, "heartbeat", w.heartbeat("g", "x", 1), ErrClosed)
}

// P5: nothing that is not durable is told, neither to who wrote it nor to who reads it.
func TestAnswersWaitForTheDisk(t *testing.T) {
	w := newWorld(t)
	gate := durabilitytest.NewGate(t)
	w.stateLog("g").durable = gate.Ticket()
	commit := w.c.CommitOffsets(&CommitRequest{GroupID: "g", Generation: -1, Retention: -1,
		Offsets: []OffsetCommit{{Topic: "t", Offset: 5}}})
	fetch := w.c.FetchOffsets(&FetchRequest{GroupID: "g", All: true})
	join := w.join("g")
	if commit.Ready() || fetch.Ready() || join.Ready() {
		t.Fatal("answered before it was durable")
	}
	gate.Open(errors.New("disk"))
	for name, wait := range map[string]func() error{
		"commit": func() error { _, err := commit.Wait(context.Background()); return err },
		"fetch":  func() error { _, err := fetch.Wait(context.Background()); return err },
		"join":   func() error { _, err := join.Wait(context.Background()); return err },
	} {
		isErr(t, name, wait(), ErrNotDurable)
	}
}

// P26: after any sequence of operations a restart brings back what was there, with the defaults and with sizes at
// which everything is more than fits.
func TestLiveStateEqualsReplayedState(t *testing.T) {
	sizes := []func(*Config){
		func(*Config) {},
		func(c *Config) { c.MaxSize, c.TombstonesPerBatch, c.OffsetMetadataMaxBytes, c.Partitions = 1, 1, 1, 1 },
		func(c *Config) { c.MaxSize, c.TombstonesPerBatch, c.Partitions = 2, 2, 2 },
		func(c *Config) { c.TombstonesPerBatch, c.MaxBatchBytes = 3, 450 }, // one member, three tombstones
	}
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.OffsetsRetention = 40 * time.Minute }, sizes[seed%uint64(len(sizes))])
			runRandomly(w, rand.New(rand.NewPCG(seed, 1)), 300)
			settle(w)
			live := dump(w.c)
			w.restart()
			if replayed := dump(w.c); replayed != live {
				t.Errorf("live\n%s\n\nreplayed\n%s", live, replayed)
			}
		})
	}
}

// runRandomly does n random things to three groups, with a restart now and then.
func runRandomly(w *world, r *rand.Rand, n int) {
	members := map[string][]string{}
	gens := map[string]int32{}
	pick := func(group string) string {
		if len(members[group]) == 0 {
			return ""
		}
		return members[group][r.IntN(len(members[group]))]
	}
	note := func(group string, f *Future[JoinResult]) {
		if !f.Ready() {
			return
		}
		if j, _ := f.Wait(context.Background()); j.Err == nil {
			members[group], gens[group] = append(members[group], j.MemberID), j.Generation
		}
	}
	for range n {
		group := fmt.Sprint("g", r.IntN(3))
		topic, partition := fmt.Sprint("t", r.IntN(2)), int32(r.IntN(2))
		pid := int64(r.IntN(3))
		switch r.IntN(14) {
		case 0:
			note(group, w.join(group))
		case 1:
			note(group, w.join(group, withInstance(fmt.Sprint("i", r.IntN(2))), version(9)))
		case 2, 3:
			note(group, w.join(group, withID(pick(group))))
		case 4, 5:
			id := pick(group)
			w.sync(group, id, gens[group], id, fmt.Sprint("assigned ", r.IntN(100)))
		case 6:
			w.leave(group, LeaveMember{MemberID: pick(group)})
		case 7:
			w.clock.Advance(time.Duration(r.IntN(15)) * time.Second)
		case 8, 9:
			w.commit(group, topic, partition, r.Int64N(100), as(pick(group), gens[group]))
			w.commit(group, topic, partition, r.Int64N(100))
		case 10:
			w.stage(pid, group, topic, partition, r.Int64N(100), "", -1)
		case 11:
			w.end(pid, group, batch.MarkerType(r.IntN(2)))
		case 12:
			switch r.IntN(4) {
			case 0:
				now(w.t, w.c.DeleteGroup(group))
			case 1:
				_ = w.c.OnTopicDeleted(topic, [16]byte{})
			case 2:
				now(w.t, w.c.DeleteOffsets(&DeleteOffsetsRequest{GroupID: group, Offsets: []TopicPartition{{topic, partition}}}))
			case 3:
				w.clock.Advance(time.Duration(r.IntN(30)) * time.Minute)
			}
		case 13:
			if r.IntN(4) == 0 {
				settle(w)
				w.restart()
			}
		}
	}
}

// settle lets every join phase end, so that what is soft is written or gone.
func settle(w *world) {
	w.clock.Advance(10 * time.Minute)
}

// Records of other versions, and of protocols that are not served.
func TestReplayReadsAllVersionsAndPassesOverTheUnknown(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Partitions = 1 })
	var records []batch.Record
	add := func(key, value []byte) { records = append(records, batch.Record{Key: key, Value: value}) }
	for v := range int16(5) {
		k := kmsg.OffsetCommitKey{Version: v % 2, Group: "g", Topic: "t", Partition: int32(v)}
		o := kmsg.OffsetCommitValue{Version: v, Offset: int64(100 + v), LeaderEpoch: 7, Metadata: "m", CommitTimestamp: 1,
			ExpireTimestamp: 2}
		add(k.AppendTo(nil), o.AppendTo(nil))
		gk := kmsg.GroupMetadataKey{Version: 2, Group: fmt.Sprint("v", v)}
		g := kmsg.NewGroupMetadataValue()
		m := kmsg.NewGroupMetadataValueMember()
		m.MemberID, m.SessionTimeoutMillis, m.Subscription, m.Assignment = "m", 10000, []byte(subscription("t")), []byte("a")
		g.Version, g.ProtocolType, g.Generation, g.Protocol, g.Leader = v, "consumer", 4, text("range"), text("m")
		g.Members = append(g.Members, m)
		add(gk.AppendTo(nil), g.AppendTo(nil))
	}
	add([]byte{0, 3, 0, 1, 'g'}, []byte{0, 0, 0})                                          // a KIP-848 group
	add([]byte{0, 1}, []byte{0, 0})                                                        // no key
	add((&kmsg.GroupMetadataKey{Version: 2, Group: "new"}).AppendTo(nil), []byte{0, 5, 0}) // the next version
	add((&kmsg.OffsetCommitKey{Version: 1, Group: "new"}).AppendTo(nil), []byte{0, 5, 0})
	add(nil, nil)
	if _, err := w.stateLogs[0].append(batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1},
		records...)); err != nil {
		t.Fatal(err)
	}
	w.restart()
	for v := range int32(5) {
		w.wantOffset("g", "t", v, true, int64(100+v))
		group := fmt.Sprint("v", v)
		isErr(t, group, w.heartbeat(group, "m", 4), nil)
		if r := now(t, w.sync(group, "m", 4)); string(r.Assignment) != "a" {
			t.Errorf("%+v", r)
		}
	}
	r := now(t, w.c.FetchOffsets(&FetchRequest{GroupID: "g", All: true}))
	for p, want := range []int32{-1, -1, -1, 7, 7} {
		if got := r.Topics[0].Partitions[p].LeaderEpoch; got != want {
			t.Errorf("leader epoch of version %d: %d", p, got)
		}
	}
	if got := w.state("new"); got != Dead {
		t.Error(got)
	}
}

func TestMetrics(t *testing.T) {
	r := prometheus.NewRegistry()
	w := newWorld(t, func(c *Config) { c.Registerer = r })
	ids, gen := w.stable("g", nil)
	w.commit("g", "t", 0, 1, as(ids[0], gen))
	w.commit("s", "t", 0, 1)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"group_groups Stable": 1, "group_groups Empty": 1, "group_members": 1,
		"group_rebalances_total": 1, "group_offset_commits_total": 2, "group_expired_offsets_total": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v, want %v", name, v, want)
		}
	}
}

// Groups scenario 49: members show their metadata only while the group is Stable, and always what they were assigned
// last.
func TestDescribe(t *testing.T) {
	w := newWorld(t)
	_, err := w.c.Describe("none")
	isErr(t, "unknown", err, ErrGroupNotFound)
	ids, _ := w.stable("g", i1())
	d, _ := w.c.Describe("g")
	m := d.Members[0]
	if d.State.String() != "Stable" || d.Protocol != "range" || d.ProtocolType != "consumer" || m.MemberID != ids[0] ||
		*m.InstanceID != "i1" ||
		m.ClientID != "client" || m.ClientHost != "/127.0.0.1" || string(m.Metadata) != subscription("t") ||
		string(m.Assignment) != "for "+ids[0] {
		t.Errorf("%+v", d)
	}
	w.join("g")
	d, _ = w.c.Describe("g")
	if d.State.String() != "PreparingRebalance" || d.Protocol != "" || len(d.Members) != 2 ||
		d.Members[0].Metadata != nil ||
		string(d.Members[0].Assignment) != "for "+ids[0] || d.Members[1].Assignment != nil {
		t.Errorf("%+v", d)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	_, err := New(Config{MinSessionTimeout: time.Hour, MaxSessionTimeout: time.Minute, InitialRebalanceDelay: -1})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"no state logs", "above the maximum", "negative initial"} {
		if !contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func contains(s, part string) bool {
	for i := range s {
		if len(s[i:]) >= len(part) && s[i:i+len(part)] == part {
			return true
		}
	}
	return false
}

// FuzzDecodeRecord feeds keys and values to the decoder; what it takes must survive being written again.
func FuzzDecodeRecord(f *testing.F) {
	g := newClassicGroup(&Config{}, "g", 5)
	g.add(&member{id: "m", instanceID: text("i"), sessionTimeout: session,
		protocols: []Protocol{{Name: "range", Metadata: []byte(subscription("t"))}}, assignment: []byte("a")})
	g.protocolType, g.protocolName = "consumer", text("range")
	for _, r := range []record{
		ownRecord(g.record()),
		{kind: kindOffset, group: "g", topic: "t", partition: 1,
			offset: committed{offset: 4, leaderEpoch: 2, metadata: "m", expireTimestampMs: -1, topicID: [16]byte{1}}},
		{kind: kindOffset, group: "g", topic: "t", offset: committed{expireTimestampMs: 9}},
	} {
		f.Add(r.appendKey(nil), r.appendValue(nil))
	}
	f.Add([]byte{0, 3, 1}, []byte{0, 0})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := decodeRecord(key, value)
		if err != nil {
			if !errors.Is(err, group.ErrDamaged) {
				t.Errorf("unexpected kind of error: %v", err)
			}
			return
		}
		if r.kind == kindGroup && !r.tombstone {
			(&Coordinator{}).newGroup(r.own.GroupType(), r.group).Apply(r.own)
		}
		if r.kind != kindOffset || r.tombstone || len(r.group) > 1<<14 || len(r.topic) > 1<<14 ||
			len(r.offset.metadata) > 1<<14 {
			return
		}
		again, err := decodeRecord(r.appendKey(nil), r.appendValue(nil))
		if err != nil {
			t.Fatalf("own record %+v: %v", r, err)
		}
		if r.offset.expireTimestampMs >= 0 {
			r.offset.leaderEpoch, r.offset.topicID = -1, [16]byte{}
		} else {
			r.offset.expireTimestampMs = -1
		}
		if again.offset != r.offset || again.group != r.group || again.topic != r.topic || again.partition != r.partition {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}

// Who waits for others when the coordinator lets everybody go begins anew, and nobody waits from then on; offsets can
// be committed.
func TestRelease(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil, nil)
	waiting := w.join("g", withID(ids[0]))
	w.c.Release()
	isErr(t, "parked join", now(t, waiting).Err, ErrUnknownMember)
	isErr(t, "later join", now(t, w.join("g", withID(ids[1]))).Err, ErrUnknownMember)
	isErr(t, "later sync", now(t, w.sync("g", ids[1], gen)).Err, ErrUnknownMember)
	isErr(t, "commit", w.commit("o", "t", 0, 1), nil)
}
