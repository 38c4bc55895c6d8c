package broker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// shareFetchOf is the ShareFetch of a member of group g, of one partition.
func shareFetchOf(member string, epoch int32, topicID [16]byte) *kmsg.ShareFetchRequest {
	r := kmsg.NewPtrShareFetchRequest()
	group := "g"
	r.Version, r.GroupID, r.MemberID, r.ShareSessionEpoch = 2, &group, &member, epoch
	r.MinBytes, r.MaxBytes, r.MaxRecords, r.BatchSize, r.MaxWaitMillis = 1, 1<<20, 500, 500, 100
	t := kmsg.NewShareFetchRequestTopic()
	t.TopicID, t.Partitions = topicID, []kmsg.ShareFetchRequestTopicPartition{kmsg.NewShareFetchRequestTopicPartition()}
	r.Topics = append(r.Topics, t)
	return r
}

// A member that fetches more than its quota has its records, and is told for how long it has to pause; its next request
// on the same connection waits (spec: share-groups 22, SG-76). Kafka answers without the records and keeps them locked.
func TestQuotasThrottleShareFetches(t *testing.T) {
	t.Parallel() // it waits
	b := brokertest.Start(t)
	c := kafkatest.Connect(t, b.Addr())
	conn, err := kafkatest.Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := c.CreateTopic("x", 1, nil); err != nil {
		t.Fatal(err)
	}
	if ms := produceBytes(t, conn, 12_000); ms != 0 {
		t.Fatalf("throttled for %d ms without a quota", ms)
	}
	alter := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	alter.GroupID = "g"
	at := kmsg.NewAlterShareGroupOffsetsRequestTopic()
	at.Topic, at.Partitions = "x",
		[]kmsg.AlterShareGroupOffsetsRequestTopicPartition{kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()}
	alter.Topics = append(alter.Topics, at)
	topicID := c.Answer(alter).(*kmsg.AlterShareGroupOffsetsResponse).Topics[0].TopicID

	setQuota(t, conn, "consumer_byte_rate", 1000) // 12,000 bytes at once are 1,200 a second
	began := time.Now()                           // the pause begins with the answer
	answer := ask(t, conn, shareFetchOf("m1", 0, topicID)).(*kmsg.ShareFetchResponse)
	got := answer.Topics[0].Partitions[0]
	if len(got.AcquiredRecords) != 1 || len(got.Records) < 12_000 {
		t.Errorf("acquired %v with %d bytes", got.AcquiredRecords, len(got.Records))
	}
	if ms := answer.ThrottleMillis; ms < 100 || ms > 4000 {
		t.Fatalf("throttled for %d ms", ms)
	}
	next := ask(t, conn, shareFetchOf("m1", 1, topicID)).(*kmsg.ShareFetchResponse)
	if took := time.Since(began); next.ErrorCode != 0 || took < time.Duration(answer.ThrottleMillis)*time.Millisecond {
		t.Errorf("%s, and the next request waited for %v of %d ms", code(next.ErrorCode), took, answer.ThrottleMillis)
	}
	other := ask(t, conn, shareFetchOf("m2", 0, topicID)).(*kmsg.ShareFetchResponse)
	if got := other.Topics[0].Partitions[0].AcquiredRecords; other.ErrorCode != 0 || len(got) != 0 {
		t.Errorf("another member acquires %v, %s", got, code(other.ErrorCode))
	}
}
