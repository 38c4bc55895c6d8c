package broker_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/log/batch"
)

// The figures of groups, with raw requests over TCP: what the broker needs, without any client's own pauses.
//
//	go test ./broker -run xxx -bench Group

// groupBench is a broker with a topic of some partitions.
type groupBench struct {
	b     *testing.B
	addr  string
	topic string
	id    [16]byte
}

func newGroupBench(b *testing.B, partitions int32) *groupBench {
	g := &groupBench{b: b, addr: brokertest.Start(b).Addr(), topic: "x"}
	conn := g.dial()
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version, create.TimeoutMillis = 7, 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = g.topic, partitions, 1
	create.Topics = append(create.Topics, topic)
	g.id = askBench(b, conn, create).(*kmsg.CreateTopicsResponse).Topics[0].TopicID
	return g
}

func (g *groupBench) dial() *kafkatest.Conn {
	conn, err := kafkatest.Dial(g.addr)
	if err != nil {
		g.b.Fatal(err)
	}
	g.b.Cleanup(func() { conn.Close() })
	return conn
}

func askBench(b *testing.B, conn *kafkatest.Conn, r kmsg.Request) kmsg.Response {
	resp, err := conn.Request(r)
	if err != nil {
		b.Fatal(err)
	}
	return resp
}

// heartbeat is one heartbeat of a member that speaks the consumer protocol; owned nil: not said.
func (g *groupBench) heartbeat(conn *kafkatest.Conn, group, member string, epoch int32,
	owned []int32) *kmsg.ConsumerGroupHeartbeatResponse {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.MemberEpoch = 1, group, member, epoch
	switch {
	case epoch == 0:
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames = 60_000, []string{g.topic}
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	case owned != nil:
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: g.id, Partitions: owned}}
	}
	resp := askBench(g.b, conn, r).(*kmsg.ConsumerGroupHeartbeatResponse)
	if resp.ErrorCode != 0 {
		g.b.Errorf("heartbeat of %s: %s", member, code(resp.ErrorCode))
	}
	return resp
}

// joinClassic joins a group of the classic protocol and gets an assignment, as the only member.
func (g *groupBench) joinClassic(conn *kafkatest.Conn, group string) {
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.ProtocolType = 9, group, "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 45_000, 60_000
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range",
		Metadata: []byte{0, 0, 0, 0, 0, 1, 0, 1, 'x', 255, 255, 255, 255}}}
	joined := askBench(g.b, conn, join).(*kmsg.JoinGroupResponse)
	join.MemberID = joined.MemberID
	joined = askBench(g.b, conn, join).(*kmsg.JoinGroupResponse)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.MemberID, sync.Generation = 5, group, joined.MemberID, joined.Generation
	sync.ProtocolType, sync.Protocol = joined.ProtocolType, joined.Protocol
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID,
		MemberAssignment: []byte("x-0")}}
	if c := askBench(g.b, conn, sync).(*kmsg.SyncGroupResponse).ErrorCode; c != 0 {
		g.b.Fatal(code(c))
	}
}

// readFirst fetches the committed offset of a partition and then its first record.
func (g *groupBench) readFirst(conn *kafkatest.Conn, group string) {
	offsets := kmsg.NewPtrOffsetFetchRequest()
	offsets.Version, offsets.RequireStable = 8, true
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group, asked.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{{Topic: g.topic, Partitions: []int32{0}}}
	offsets.Groups = append(offsets.Groups, asked)
	askBench(g.b, conn, offsets)
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes = 12, 500, 1, 1<<20
	part := kmsg.NewFetchRequestTopicPartition()
	part.PartitionMaxBytes, part.CurrentLeaderEpoch = 1<<20, -1
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: g.topic, Partitions: []kmsg.FetchRequestTopicPartition{part}}}
	if got := askBench(g.b, conn, fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0]; len(got.RecordBatches) == 0 {
		g.b.Fatal("nothing was read")
	}
}

// resetToEarliest makes a share group begin with the first record.
func (g *groupBench) resetToEarliest(conn *kafkatest.Conn, group string) {
	earliest := "earliest"
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Version = 1
	r.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: group,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "share.auto.offset.reset", Value: &earliest}},
	}}
	if c := askBench(g.b, conn, r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode; c != 0 {
		g.b.Fatal(code(c))
	}
}

// joinShare joins a share group and gets the partition, as the only member.
func (g *groupBench) joinShare(conn *kafkatest.Conn, group string) {
	r := kmsg.NewPtrShareGroupHeartbeatRequest()
	r.Version, r.GroupID, r.MemberID, r.SubscribedTopicNames = 1, group, "m", []string{g.topic}
	resp := askBench(g.b, conn, r).(*kmsg.ShareGroupHeartbeatResponse)
	if resp.ErrorCode != 0 || resp.Assignment == nil || len(resp.Assignment.TopicPartitions) != 1 {
		g.b.Fatalf("%s, assigned %v", code(resp.ErrorCode), resp.Assignment)
	}
}

// acquireFirst begins a share session and acquires the first record of the partition.
func (g *groupBench) acquireFirst(conn *kafkatest.Conn, group string) {
	r := shareFetchOf("m", 0, g.id)
	r.GroupID, r.MaxWaitMillis = &group, 500
	if got := askBench(g.b, conn, r).(*kmsg.ShareFetchResponse).Topics[0].Partitions[0]; len(got.AcquiredRecords) == 0 {
		g.b.Fatal("nothing is acquired")
	}
}

// BenchmarkGroupJoinToFirstRecord is a new group with its first member, until that has read a record.
func BenchmarkGroupJoinToFirstRecord(b *testing.B) {
	for _, protocol := range []string{"classic", "consumer", "share"} {
		b.Run(protocol, func(b *testing.B) {
			g := newGroupBench(b, 1)
			conn := g.dial()
			raw := batch.Build(batch.BuildOptions{
				ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, LeaderEpoch: -1, TimestampMs: time.Now().UnixMilli(),
			}, kafkatest.Values("hello")...)
			produce := kmsg.NewPtrProduceRequest()
			produce.Version, produce.Acks, produce.TimeoutMillis = 9, -1, 1000
			produce.Topics = []kmsg.ProduceRequestTopic{{Topic: g.topic,
				Partitions: []kmsg.ProduceRequestTopicPartition{{Records: raw}}}}
			if c := askBench(b, conn, produce).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; c != 0 {
				b.Fatal(code(c))
			}
			for i := 0; b.Loop(); i++ {
				group := fmt.Sprint("group-", i)
				if protocol == "share" {
					b.StopTimer()
					g.resetToEarliest(conn, group)
					b.StartTimer()
				}
				member := g.dial()
				switch protocol {
				case "classic":
					g.joinClassic(member, group)
					g.readFirst(member, group)
				case "consumer":
					g.heartbeat(member, group, "m", 0, nil)
					g.readFirst(member, group)
				case "share":
					g.joinShare(member, group)
					g.acquireFirst(member, group)
				}
			}
		})
	}
}

// BenchmarkGroupOfThirty is a consumer group of 30 members over 60 partitions, which heartbeat as often as the broker
// says: how long until all have two partitions, after the last one has joined.
func BenchmarkGroupOfThirty(b *testing.B) {
	const members = 30
	g := newGroupBench(b, 2*members)
	var rest time.Duration
	runs := 0
	for b.Loop() {
		group := fmt.Sprint("group-", runs)
		runs++
		var all, resting sync.WaitGroup
		resting.Add(members)
		stop := make(chan struct{})
		for i := range members {
			all.Add(1)
			joined := make(chan struct{})
			go g.member(group, fmt.Sprint("m", i), joined, stop, &resting, &all)
			<-joined
		}
		lastJoined := time.Now()
		resting.Wait()
		rest += time.Since(lastJoined)
		close(stop)
		all.Wait()
	}
	b.ReportMetric(float64(rest.Milliseconds())/float64(runs), "ms-to-rest")
}

// member heartbeats until stop; it does at once what the broker says, and rests when it has two partitions.
func (g *groupBench) member(group, id string, joined, stop chan struct{}, resting, all *sync.WaitGroup) {
	defer all.Done()
	conn := g.dial()
	var owned []int32
	epoch, rests := int32(0), false
	for {
		resp := g.heartbeat(conn, group, id, epoch, nil)
		if epoch == 0 {
			close(joined)
		}
		for epoch = resp.MemberEpoch; resp.Assignment != nil; epoch = resp.MemberEpoch {
			owned = []int32{}
			for _, t := range resp.Assignment.Topics {
				owned = append(owned, t.Partitions...)
			}
			resp = g.heartbeat(conn, group, id, epoch, owned)
		}
		if len(owned) == 2 && !rests {
			rests = true
			resting.Done()
		}
		timer := time.NewTimer(time.Duration(resp.HeartbeatIntervalMillis) * time.Millisecond)
		select {
		case <-stop:
			timer.Stop()
			g.heartbeat(conn, group, id, -1, nil)
			return
		case <-timer.C:
		}
	}
}

// BenchmarkGroupCommits commits offsets of 100 partitions a request, as one member of a consumer group.
func BenchmarkGroupCommits(b *testing.B) {
	for _, offsets := range []int{1, 100} {
		b.Run(fmt.Sprint(offsets), func(b *testing.B) {
			g := newGroupBench(b, 100)
			conn := g.dial()
			epoch := g.heartbeat(conn, "g", "m", 0, nil).MemberEpoch
			r := kmsg.NewPtrOffsetCommitRequest()
			r.Version, r.Group, r.MemberID, r.Generation = 9, "g", "m", epoch
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic = g.topic
			for i := range offsets {
				p := kmsg.NewOffsetCommitRequestTopicPartition()
				p.Partition = int32(i)
				topic.Partitions = append(topic.Partitions, p)
			}
			r.Topics = append(r.Topics, topic)
			for b.Loop() {
				if c := askBench(b, conn, r).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; c != 0 {
					b.Fatal(code(c))
				}
			}
			b.ReportMetric(float64(offsets)*float64(b.N)/b.Elapsed().Seconds(), "offsets/s")
		})
	}
}

// BenchmarkGroupThousand makes a thousand groups of one member, and then is a heartbeat of each.
func BenchmarkGroupThousand(b *testing.B) {
	const groups = 1000
	g := newGroupBench(b, 4)
	conn := g.dial()
	before := heapBytes()
	began := time.Now()
	epochs := make([]int32, groups)
	for i := range groups {
		epochs[i] = g.heartbeat(conn, fmt.Sprint("group-", i), "m", 0, nil).MemberEpoch
	}
	joined, heap := time.Since(began), heapBytes()-before
	for b.Loop() {
		for i := range groups {
			g.heartbeat(conn, fmt.Sprint("group-", i), "m", epochs[i], nil)
		}
	}
	b.ReportMetric(float64(joined.Milliseconds()), "ms-to-join")
	b.ReportMetric(float64(heap)/groups, "bytes/group")
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
