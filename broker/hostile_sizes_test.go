package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// TestHostileSizes is about requests that are well formed and go to the edge of what a string, a batch of
// records or a request may hold, or name the same thing many times.
func TestHostileSizes(t *testing.T) {
	h := newHostile(t, nil)
	h.run(longClients())
	h.run(longNames())
	h.run(manyDescriptions())
	h.run(partitionsAtOnce())
	h.run(namedOften())
	h.run(largeCommits())
}

// longestString is as long as a string of Kafka's protocol can be.
const longestString = 32767

// longClients are those whose member ID would be longer than a string, with what is added to it.
func longClients() []hostileCase {
	long := strings.Repeat("c", longestString)
	kafka, why := "UNKNOWN_SERVER_ERROR", "Kafka cannot send a member ID that is longer than a string"
	return []hostileCase{
		{row: "B25", name: "client ID of 32767 bytes, v3", grows: true, want: "NONE", kafka: kafka, why: why,
			send: func(h *hostile) string { return h.joinAs(long, 3, nil) }},
		{row: "B25", name: "client ID of 32767 bytes, v9", grows: true, want: "MEMBER_ID_REQUIRED, then NONE",
			kafka: kafka, why: why,
			send: func(h *hostile) string { return h.joinAs(long, 9, nil) }},
		{row: "B25", name: "group instance ID of 32767 bytes", grows: true, want: "NONE", kafka: kafka, why: why,
			send: func(h *hostile) string { return h.joinAs("client", 5, &long) }},
	}
}

// joinAs joins a group of its own with a client ID, heartbeats with the member ID that it is given, and leaves.
func (h *hostile) joinAs(clientID string, version int16, instanceID *string) string {
	h.connect().ClientID = &clientID
	r := h.joinRequest(func(r *kmsg.JoinGroupRequest) {
		r.Version, r.Group, r.InstanceID = version, "long"+h.suffix, instanceID
	})
	joined := h.request(r).(*kmsg.JoinGroupResponse)
	out := code(joined.ErrorCode)
	if out == "MEMBER_ID_REQUIRED" {
		r.MemberID = joined.MemberID
		joined = h.request(r).(*kmsg.JoinGroupResponse)
		out += ", then " + code(joined.ErrorCode)
	}
	if joined.ErrorCode != 0 {
		return out
	}
	if n := len(joined.MemberID); n > longestString {
		out += fmt.Sprintf(", member ID of %d bytes", n)
	}
	b := kmsg.NewPtrHeartbeatRequest()
	b.Version, b.Group, b.MemberID, b.Generation = 4, r.Group, joined.MemberID, joined.Generation
	if c := h.request(b).(*kmsg.HeartbeatResponse).ErrorCode; c != 0 {
		out += ", heartbeat " + code(c)
	}
	return out + h.leave(r.Group, joined.MemberID)
}

// refused is a code and its message, which no client could read if it were longer than a string.
func refused(errorCode int16, message *string) string {
	if message != nil && len(*message) > longestString {
		return fmt.Sprintf("%s, message of %d bytes", code(errorCode), len(*message))
	}
	return code(errorCode)
}

// longNames are names that the message of an error repeats, in the classic and in the compact form of strings.
func longNames() []hostileCase {
	long, control := strings.Repeat("n", longestString), strings.Repeat("\x01", longestString)
	var cases []hostileCase
	add := func(name string, want string, versions [2]int16, send func(h *hostile, version int16) string) {
		for _, v := range versions {
			cases = append(cases, hostileCase{row: "B12", name: fmt.Sprintf("%s, v%d", name, v), want: want,
				kafka: notAsked, why: "Kafka words its messages otherwise",
				send: func(h *hostile) string { return send(h, v) }})
		}
	}
	add("CreateTopics, a long name twice", "INVALID_REQUEST", [2]int16{2, 7}, func(h *hostile, v int16) string {
		r := kmsg.NewPtrCreateTopicsRequest()
		r.Version, r.TimeoutMillis = v, 10_000
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = long, 1, 1
		r.Topics = append(r.Topics, t, t)
		got := h.request(r).(*kmsg.CreateTopicsResponse).Topics[0]
		return refused(got.ErrorCode, got.ErrorMessage)
	})
	add("CreatePartitions of a long name", "UNKNOWN_TOPIC_OR_PARTITION", [2]int16{0, 3},
		func(h *hostile, v int16) string {
			r := kmsg.NewPtrCreatePartitionsRequest()
			r.Version, r.TimeoutMillis = v, 10_000
			t := kmsg.NewCreatePartitionsRequestTopic()
			t.Topic, t.Count = control, 5
			r.Topics = append(r.Topics, t)
			got := h.request(r).(*kmsg.CreatePartitionsResponse).Topics[0]
			return refused(got.ErrorCode, got.ErrorMessage)
		})
	add("DeleteTopics of a long name", "UNKNOWN_TOPIC_OR_PARTITION", [2]int16{5, 6}, func(h *hostile, v int16) string {
		r := kmsg.NewPtrDeleteTopicsRequest()
		r.Version, r.TimeoutMillis, r.TopicNames = v, 10_000, []string{control}
		r.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &control}}
		got := h.request(r).(*kmsg.DeleteTopicsResponse).Topics[0]
		return refused(got.ErrorCode, got.ErrorMessage)
	})
	add("DescribeConfigs of a broker with a long name", "INVALID_REQUEST", [2]int16{1, 4},
		func(h *hostile, v int16) string {
			r := kmsg.NewPtrDescribeConfigsRequest()
			r.Version = v
			res := kmsg.NewDescribeConfigsRequestResource()
			res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeBroker, control
			r.Resources = append(r.Resources, res)
			got := h.request(r).(*kmsg.DescribeConfigsResponse).Resources[0]
			return refused(got.ErrorCode, got.ErrorMessage)
		})
	add("AlterConfigs of a long name without a value", "INVALID_REQUEST", [2]int16{0, 2},
		func(h *hostile, v int16) string {
			r := kmsg.NewPtrAlterConfigsRequest()
			r.Version = v
			res := kmsg.NewAlterConfigsRequestResource()
			res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, "x"+h.suffix
			res.Configs = []kmsg.AlterConfigsRequestResourceConfig{{Name: control}}
			r.Resources = append(r.Resources, res)
			got := h.request(r).(*kmsg.AlterConfigsResponse).Resources[0]
			return refused(got.ErrorCode, got.ErrorMessage)
		})
	add("IncrementalAlterConfigs of a long name", "INVALID_CONFIG", [2]int16{0, 1}, func(h *hostile, v int16) string {
		r := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r.Version = v
		res := kmsg.NewIncrementalAlterConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, "x"+h.suffix
		res.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: control, Value: &long,
			Op: kmsg.IncrementalAlterConfigOpAppend}}
		r.Resources = append(r.Resources, res)
		got := h.request(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
		return refused(got.ErrorCode, got.ErrorMessage)
	})
	add("DescribeGroups of a long ID", "GROUP_ID_NOT_FOUND", [2]int16{6, 6}, func(h *hostile, v int16) string {
		r := kmsg.NewPtrDescribeGroupsRequest()
		r.Version, r.Groups = v, []string{long}
		got := h.request(r).(*kmsg.DescribeGroupsResponse).Groups[0]
		return refused(got.ErrorCode, got.ErrorMessage)
	})
	return cases
}

// partitionsAtOnce are requests around the number of partitions that one of them may create.
func partitionsAtOnce() []hostileCase {
	creates := func(counts ...int32) func(*hostile) string {
		return func(h *hostile) string {
			r := kmsg.NewPtrCreateTopicsRequest()
			r.Version, r.TimeoutMillis, r.ValidateOnly = 7, 10_000, true
			for i, n := range counts {
				t := kmsg.NewCreateTopicsRequestTopic()
				t.Topic, t.NumPartitions, t.ReplicationFactor = fmt.Sprint("many", i, h.suffix), n, 1
				r.Topics = append(r.Topics, t)
			}
			var out []string
			for _, t := range h.request(r).(*kmsg.CreateTopicsResponse).Topics {
				out = append(out, code(t.ErrorCode))
			}
			return strings.Join(out, " ")
		}
	}
	adds := func(counts ...int32) func(*hostile) string { // x has 2 partitions, the others have 1
		return func(h *hostile) string {
			r := kmsg.NewPtrCreatePartitionsRequest()
			r.Version, r.TimeoutMillis, r.ValidateOnly = 3, 10_000, true
			for i, n := range counts {
				t := kmsg.NewCreatePartitionsRequestTopic()
				t.Topic, t.Count = []string{"x", "compact", "stamped", "nosuch"}[i]+h.suffix, n
				r.Topics = append(r.Topics, t)
			}
			answers := map[string]string{}
			for _, t := range h.request(r).(*kmsg.CreatePartitionsResponse).Topics {
				answers[t.Topic] = code(t.ErrorCode)
			}
			var out []string
			for i := range r.Topics { // Kafka answers in another order
				out = append(out, answers[r.Topics[i].Topic])
			}
			return strings.Join(out, " ")
		}
	}
	twice := func(h *hostile) string {
		r := kmsg.NewPtrCreateTopicsRequest()
		r.Version, r.TimeoutMillis, r.ValidateOnly = 7, 10_000, true
		for _, name := range []string{"twice", "twice", "once"} {
			t := kmsg.NewCreateTopicsRequestTopic()
			t.Topic, t.NumPartitions, t.ReplicationFactor = name+h.suffix, 6_000, 1
			r.Topics = append(r.Topics, t)
		}
		answers := map[string]string{}
		for _, t := range h.request(r).(*kmsg.CreateTopicsResponse).Topics {
			answers[t.Topic] = code(t.ErrorCode)
		}
		return answers["once"+h.suffix] + " " + answers["twice"+h.suffix]
	}
	return []hostileCase{
		{row: "B30", name: "creates 9999", send: creates(9_999), want: "NONE"},
		{row: "B30", name: "creates 10000", send: creates(10_000), want: "POLICY_VIOLATION"}, // the topic is a record, too
		{row: "B30", name: "creates 10001", send: creates(10_001), want: "POLICY_VIOLATION"},
		{row: "B30", name: "creates 5000 and 4998", send: creates(5_000, 4_998), want: "NONE NONE"},
		{row: "B30", name: "creates 5000 and 5001", send: creates(5_000, 5_001),
			want: "POLICY_VIOLATION POLICY_VIOLATION"},
		{row: "B30", name: "creates 9000 and -5000", send: creates(9_000, -5_000), want: "NONE INVALID_PARTITIONS"},
		{row: "B30", name: "creates 12000 and -5000", send: creates(12_000, -5_000),
			want: "POLICY_VIOLATION POLICY_VIOLATION"},
		{row: "B30", name: "creates 2147483647 twice", send: creates(1<<31-1, 1<<31-1),
			want: "POLICY_VIOLATION POLICY_VIOLATION"},
		{row: "B30", name: "creates 6000, and 6000 of a topic that stands twice", send: twice,
			want: "NONE INVALID_REQUEST"},
		{row: "B30", name: "adds 10000", send: adds(10_002), want: "NONE"},
		{row: "B30", name: "adds 10001", send: adds(10_003), want: "POLICY_VIOLATION"},
		{row: "B30", name: "adds 5000 and 5000", send: adds(5_002, 5_001), want: "NONE NONE"},
		{row: "B30", name: "adds 5000 and 5001", send: adds(5_002, 5_002), want: "POLICY_VIOLATION POLICY_VIOLATION"},
		{row: "B30", name: "adds 5000, 5001 and none", send: adds(5_002, 5_002, 1),
			want: "POLICY_VIOLATION POLICY_VIOLATION POLICY_VIOLATION"},
		{row: "B30", name: "adds 10000 and none", send: adds(10_002, 1), want: "NONE INVALID_PARTITIONS"},
		{row: "B30", name: "adds 10002 and -6", send: adds(10_004, -5), want: "POLICY_VIOLATION POLICY_VIOLATION"},
		{row: "B30", name: "adds 5000, and 6000 to a topic that there is not", send: adds(5_002, 2, 2, 6_000),
			want: "NONE NONE NONE UNKNOWN_TOPIC_OR_PARTITION"},
	}
}

// namedOften are requests that name a topic again and again: Kafka answers once.
func namedOften() []hostileCase {
	const times = 2_000
	asking := func(version int16, topic func(h *hostile, i int) kmsg.MetadataRequestTopic) func(*hostile) string {
		return func(h *hostile) string {
			r := kmsg.NewPtrMetadataRequest()
			r.Version = version
			for i := range times {
				r.Topics = append(r.Topics, topic(h, i))
			}
			return fmt.Sprint(len(h.request(r).(*kmsg.MetadataResponse).Topics), " topics")
		}
	}
	name := func(h *hostile, name string) *string { return kmsg.StringPtr(name + h.suffix) }
	return []hostileCase{
		{row: "B12", name: "a topic of 2 partitions 2000 times", want: "1 topics", perByte: 40,
			send: asking(9, func(h *hostile, _ int) kmsg.MetadataRequestTopic {
				return kmsg.MetadataRequestTopic{Topic: name(h, "x")}
			})},
		{row: "B12", name: "a topic and one that there is not, in turns", want: "2 topics", perByte: 40,
			send: asking(9, func(h *hostile, i int) kmsg.MetadataRequestTopic {
				return kmsg.MetadataRequestTopic{Topic: name(h, []string{"x", "nosuch"}[i%2])}
			})},
		{row: "B12", name: "a topic 2000 times by its ID, with ever another name", want: "1 topics", perByte: 40,
			send: asking(12, func(h *hostile, i int) kmsg.MetadataRequestTopic {
				return kmsg.MetadataRequestTopic{TopicID: h.topicIDs["x"+h.suffix],
					Topic: kmsg.StringPtr(fmt.Sprint(i))}
			})},
	}
}

// largeCommits take a few bytes for each offset, and the group's ID in each record.
func largeCommits() []hostileCase {
	type request = *kmsg.OffsetCommitRequest
	type partition = *kmsg.OffsetCommitRequestTopicPartition
	return []hostileCase{
		{row: "B26", name: "3000 offsets of a group ID of 32767 bytes", want: "3000 UNKNOWN_SERVER_ERROR",
			send: committing(8, func(_ *hostile, r request, p partition) {
				r.Group = strings.Repeat("g", longestString)
				for range 3000 {
					r.Topics[0].Partitions = append(r.Topics[0].Partitions, *p)
				}
			})},
		{row: "B26", name: "an offset of a group ID of 32767 bytes", want: "NONE", grows: true,
			send: committing(8,
				func(_ *hostile, r request, _ partition) { r.Group = strings.Repeat("g", longestString) })},
	}
}

// A commit that asks for its offsets to be kept for longer than can be counted keeps them.
func TestLongestRetentionOfACommit(t *testing.T) {
	h := newLimited(t, nil)
	commit := func(group string, retentionMs int64) {
		t.Helper()
		type partition = *kmsg.OffsetCommitRequestTopicPartition
		send := committing(2, func(h *hostile, r *kmsg.OffsetCommitRequest, _ partition) {
			r.Group, r.RetentionTimeMillis = group+h.suffix, retentionMs
		})
		if got := send(h); got != "NONE" {
			t.Fatal(got)
		}
	}
	offset := func(group string) int64 {
		t.Helper()
		r := kmsg.NewPtrOffsetFetchRequest()
		r.Version, r.Group = 5, group+h.suffix
		r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "x" + h.suffix, Partitions: []int32{0}}}
		return h.request(r).(*kmsg.OffsetFetchResponse).Topics[0].Partitions[0].Offset
	}
	long := []int64{1 << 40, (1<<63-1)/1_000_000 - 1, (1<<63-1)/1_000_000 + 1, 1 << 58, 1 << 62}
	for i, ms := range long {
		commit(fmt.Sprint("long", i), ms)
	}
	commit("short", 1)
	h.own.Clock().Advance(time.Hour)
	if got := offset("short"); got != -1 {
		t.Errorf("1 ms: offset %d", got)
	}
	for i, ms := range long {
		if got := offset(fmt.Sprint("long", i)); got != 1 {
			t.Errorf("%d ms: offset %d", ms, got)
		}
	}
}

// manyDescriptions name one thing over and over, whose description is much longer than its name.
func manyDescriptions() []hostileCase {
	const times = 2000
	tally := func(codes map[int16]int) string {
		return fmt.Sprintf("%d NONE, %d INVALID_REQUEST", codes[0], codes[int16(wire.InvalidRequest)])
	}
	why := "a request of a megabyte would ask for gigabytes"
	return []hostileCase{
		{row: "B12", name: "DescribeConfigs of one broker 2000 times", want: "10 NONE, 1990 INVALID_REQUEST", kafka: notAsked,
			why:     why,
			perByte: 100, send: func(h *hostile) string {
				r := kmsg.NewPtrDescribeConfigsRequest()
				r.Version = 4
				for range times {
					res := kmsg.NewDescribeConfigsRequestResource()
					res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
					r.Resources = append(r.Resources, res)
				}
				codes := map[int16]int{}
				for _, res := range h.request(r).(*kmsg.DescribeConfigsResponse).Resources {
					codes[res.ErrorCode]++
				}
				return tally(codes)
			}},
		{row: "B12", name: "DescribeGroups of one group 2000 times", want: "10 NONE, 1990 INVALID_REQUEST", kafka: notAsked,
			why:     why,
			perByte: 100, send: func(h *hostile) string {
				r := kmsg.NewPtrDescribeGroupsRequest()
				r.Version, r.Groups = 5, slices.Repeat([]string{"g"}, times)
				codes := map[int16]int{}
				for _, g := range h.request(r).(*kmsg.DescribeGroupsResponse).Groups {
					codes[g.ErrorCode]++
				}
				return tally(codes)
			}},
		{row: "B12", name: "DescribeProducers of one partition 2000 times", want: "10 NONE, 1990 INVALID_REQUEST",
			kafka: notAsked, why: why,
			perByte: 100, send: func(h *hostile) string {
				r := kmsg.NewPtrDescribeProducersRequest()
				r.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "x" + h.suffix, Partitions: make([]int32, times)}}
				codes := map[int16]int{}
				for _, p := range h.request(r).(*kmsg.DescribeProducersResponse).Topics[0].Partitions {
					codes[p.ErrorCode]++
				}
				return tally(codes)
			}},
		{row: "B12", name: "OffsetFetch of one partition 2000 times", want: "INVALID_REQUEST", kafka: notAsked, why: why,
			perByte: 100, send: func(h *hostile) string {
				r := kmsg.NewPtrOffsetFetchRequest()
				r.Version = 8
				r.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1,
					Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "x" + h.suffix, Partitions: make([]int32, times)}}}}
				return code(h.request(r).(*kmsg.OffsetFetchResponse).Groups[0].ErrorCode)
			}},
	}
}
