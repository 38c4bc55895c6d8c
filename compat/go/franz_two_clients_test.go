package compat

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// TestTransactionsOfTwoClientsByHand sends the requests of one producer before transactions V2 by two clients in turn,
// each of which keeps a single connection. Each request is answered with success, if need be when it is sent again over
// a new connection, which franz-go does by itself.
func TestTransactionsOfTwoClientsByHand(t *testing.T) {
	t.Parallel()
	ctx, id, group := within(t), unique(t, "txn"), unique(t, "group")
	clients := []*kgo.Client{franz(t, kgo.MaxVersions(kversion.V3_7_0())), franz(t, kgo.MaxVersions(kversion.V3_7_0()))}
	initialize := kmsg.NewPtrInitProducerIDRequest()
	initialize.TransactionalID, initialize.TransactionTimeoutMillis = &id, 60_000
	producer, err := initialize.RequestWith(ctx, clients[0])
	must(t, err)
	for i := range 6 {
		add := kmsg.NewPtrAddOffsetsToTxnRequest()
		add.TransactionalID, add.Group = id, group
		add.ProducerID, add.ProducerEpoch = producer.ProducerID, producer.ProducerEpoch
		eventually(t, "the group is added", func() bool {
			added, err := add.RequestWith(ctx, clients[i%2])
			must(t, err)
			return added.ErrorCode == 0
		})
		end := kmsg.NewPtrEndTxnRequest()
		end.TransactionalID, end.Commit = id, true
		end.ProducerID, end.ProducerEpoch = producer.ProducerID, producer.ProducerEpoch
		ended, err := end.RequestWith(ctx, clients[(i+1)%2])
		must(t, err)
		if ended.ErrorCode != 0 {
			t.Fatalf("transaction %d: EndTxn is answered with %d", i, ended.ErrorCode)
		}
	}
}
