package handlers

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/wire"
)

// A client of any version learns that it asks for a partition too often: in v1 from the partitions.
func TestOffsetFetchThatNamesAPartitionTooOften(t *testing.T) {
	s := newServices(t, &blocks{})
	often := slices.Repeat([]int32{3}, maxRepeats+1)
	const refused = "\n  Partitions: Partition=3 Offset=-1 Metadata= ErrorCode=INVALID_REQUEST"
	for version, want := range map[int16]string{
		1: "Topics: Topic=x" + strings.Repeat(refused, len(often)),
		2: "ErrorCode=INVALID_REQUEST",
		8: "Groups: Group=g ErrorCode=INVALID_REQUEST",
	} {
		r := kmsg.NewPtrOffsetFetchRequest()
		r.Version, r.Group = version, "g"
		r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "x", Partitions: often}}
		inGroup := []kmsg.OffsetFetchRequestGroupTopic{{Topic: "x", Partitions: often}}
		r.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", Topics: inGroup}}
		reply := s.offsetFetch(context.Background(), &wire.Request{Key: r.Key(), Version: version, Body: r})
		text := kafkatest.Text{WithoutDefaults: true, Value: valueText}
		if got := text.Of(reply.Response); got != want {
			t.Errorf("v%d:\n%s\nwant:\n%s", version, got, want)
		}
	}
}
