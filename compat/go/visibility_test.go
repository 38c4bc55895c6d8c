package compat

import (
	"fmt"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// TestTransactionsCommitIsVisibleToNewConnections commits 1,000 transactions. After each, a connection
// that did not exist before asks, once and without waiting, for the committed end offset and for the
// record. Kafka answers EndTxn before its markers are written, so there it is only counted.
func TestTransactionsCommitIsVisibleToNewConnections(t *testing.T) {
	const transactions = 1000
	topic := newTopic(t, 1)
	ctx := within(t)
	producer := franz(t, kgo.TransactionalID(unique(t, "txn")), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0))
	visible := 0
	for i := range transactions {
		must(t, producer.BeginTransaction())
		produced, err := producer.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).First()
		must(t, err)
		must(t, producer.EndTransaction(ctx, kgo.TryCommit))

		reader := franz(t, kgo.MaxVersions(kversion.V2_8_0())) // Fetch by name
		list := kmsg.NewPtrListOffsetsRequest()
		list.ReplicaID, list.IsolationLevel = -1, 1
		latest := kmsg.NewListOffsetsRequestTopicPartition()
		latest.Timestamp = -1
		list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic,
			Partitions: []kmsg.ListOffsetsRequestTopicPartition{latest}}}
		end, err := list.RequestWith(ctx, reader)
		must(t, err)

		fetch := kmsg.NewPtrFetchRequest()
		fetch.ReplicaID, fetch.IsolationLevel, fetch.MaxBytes, fetch.SessionEpoch = -1, 1, 1<<20, -1
		from := kmsg.NewFetchRequestTopicPartition()
		from.FetchOffset, from.PartitionMaxBytes = produced.Offset, 1<<20
		fetch.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{from}}}
		got, err := fetch.RequestWith(ctx, reader)
		must(t, err)
		reader.Close()
		if end.Topics[0].Partitions[0].Offset > produced.Offset && len(got.Topics[0].Partitions[0].RecordBatches) > 0 {
			visible++
		}
	}
	t.Logf("%d of %d commits were visible at once", visible, transactions)
	if os.Getenv("ONCE_TEST_BROKER") == "" && visible != transactions {
		t.Errorf("%d of %d commits were visible at once", visible, transactions)
	}
}
