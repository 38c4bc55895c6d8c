package handlers

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/settings"
	"once/topics"
	"once/wire"
)

// However many partitions a page holds, and whatever was asked for, the pages together are the whole, without
// anything twice, and none holds more than it may.
func TestPagesOfTopicPartitions(t *testing.T) {
	s := newServices(t, &blocks{})
	counts := map[string]int{"a": 1, "b": 2500, "c": 3, "d": 2000, "e": 1, "f": 7}
	for name, n := range counts {
		if _, err := s.Topics.Create(topics.Spec{Name: name, Partitions: int32(n)}); err != nil {
			t.Fatal(err)
		}
	}
	counts["x"], counts[topics.TransactionState] = 1, 1
	small := []string{"a", "c", "e", "f", "nosuch", "unknown", "x"}
	for _, tc := range []struct {
		setting string // most partitions in an answer; "" for the default
		asked   []string
		limits  []int32
	}{
		{"", nil, []int32{999, 1999, 2000, 2001, 1<<31 - 1}},
		{"100", nil, []int32{99, 100, 101, 1 << 20}},
		{"3", small, []int32{1, 2, 3, 4, 100, 0, -1}},
		{"1", small, []int32{1, 2}},
		{"", small, []int32{1, 2, 3, 5, 7, 11, 12, 13}},
	} {
		most := 2000
		if tc.setting != "" {
			set, _, err := settings.Resolve(settings.Values{"max.request.partition.size.limit": tc.setting})
			if err != nil {
				t.Fatal(err)
			}
			s.Settings = set
			fmt.Sscan(tc.setting, &most)
		} else {
			s.Settings, _, _ = settings.Resolve()
		}
		for _, limit := range tc.limits {
			pageOf := max(1, min(int(limit), most))
			checkPages(t, s, counts, tc.asked, limit, pageOf)
		}
	}
}

// checkPages asks for one page after the other.
func checkPages(t *testing.T, s *Services, counts map[string]int, asked []string, limit int32, pageOf int) {
	t.Helper()
	what := fmt.Sprintf("%d of %v", limit, asked)
	got, errorsOf := map[string]int{}, map[string]int16{}
	var order []string
	var cursor *kmsg.DescribeTopicPartitionsRequestCursor
	total := 0
	for _, n := range counts {
		total += n
	}
	for pages := 0; ; pages++ {
		if pages > total+len(asked) {
			t.Fatalf("%s: there is no end", what)
		}
		r := kmsg.NewPtrDescribeTopicPartitionsRequest()
		r.ResponsePartitionLimit, r.Cursor = limit, cursor
		for _, name := range slices.Backward(asked) { // the order of a request does not matter
			topic := kmsg.NewDescribeTopicPartitionsRequestTopic()
			topic.Topic = name
			r.Topics = append(r.Topics, topic, topic)
		}
		resp := s.describeTopicPartitions(context.Background(),
			&wire.Request{Key: r.Key(), Body: r}).Response.(*kmsg.DescribeTopicPartitionsResponse)
		n := 0
		for _, topic := range resp.Topics {
			if len(order) == 0 || order[len(order)-1] != *topic.Topic {
				order = append(order, *topic.Topic)
			}
			if errorsOf[*topic.Topic] = topic.ErrorCode; topic.ErrorCode == 0 && len(topic.Partitions) == 0 {
				t.Fatalf("%s: nothing is said of %s", what, *topic.Topic)
			}
			for _, p := range topic.Partitions {
				if int(p.Partition) != got[*topic.Topic] {
					t.Fatalf("%s: partition %d of %s where %d is due", what, p.Partition, *topic.Topic,
						got[*topic.Topic])
				}
				got[*topic.Topic]++
			}
			n += len(topic.Partitions)
		}
		if n > pageOf {
			t.Fatalf("%s: %d partitions in a page of %d", what, n, pageOf)
		}
		if resp.NextCursor == nil {
			break
		}
		if n < pageOf {
			t.Fatalf("%s: a page has %d partitions of %d, and is not the last", what, n, pageOf)
		}
		cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic,
			Partition: resp.NextCursor.Partition}
	}
	want := asked
	if want == nil {
		for name := range counts {
			want = append(want, name)
		}
		slices.Sort(want)
	}
	if !slices.Equal(order, want) {
		t.Errorf("%s: topics %v, want %v", what, order, want)
	}
	for _, name := range want {
		code := int16(0)
		if counts[name] == 0 {
			code = int16(wire.UnknownTopicOrPartition)
		}
		if got[name] != counts[name] || errorsOf[name] != code {
			t.Errorf("%s: %s has %d partitions, code %d; want %d, %d", what, name, got[name], errorsOf[name],
				counts[name], code)
		}
	}
}
