package inspect

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"

	"once/groupcoordinator"
	"once/internal/vfs"
	"once/log/batch"
	"once/topics"
	"once/txncoordinator"
)

// DumpTransactions prints the records of __transaction_state, partition by partition, in log order.
func DumpTransactions(w io.Writer, under vfs.FS, dir string) error {
	return dump(w, under, dir, func(w *bufio.Writer, d *directory) error {
		return eachInternal(w, d, topics.TransactionState, func(at string, _ batch.Header, r batch.Record) {
			s, err := txncoordinator.DecodeRecord(r)
			switch t := &s.Transaction; {
			case err != nil:
				fmt.Fprintf(w, "damaged %s: %v\n", at, err)
			case s.Unknown:
				fmt.Fprintf(w, "unknown %s transactional_id=%q\n", at, s.TransactionalID)
			case s.Hung != nil:
				fmt.Fprintf(w, "tombstone %s transactional_id=%q left_open: producer_id=%d producer_epoch=%d partitions=%s\n",
					at, s.TransactionalID, s.Hung.ProducerID, s.Hung.ProducerEpoch, joined(s.Hung.Partitions))
			case s.Tombstone:
				fmt.Fprintf(w, "tombstone %s transactional_id=%q\n", at, s.TransactionalID)
			default:
				fmt.Fprintf(w, "transaction %s transactional_id=%q state=%v producer_id=%d producer_epoch=%d "+
					"previous_producer_id=%d next_producer_id=%d client_transaction_version=%d timeout_ms=%d partitions=%s "+
					"start_timestamp=%s last_update_timestamp=%s\n",
					at, s.TransactionalID, t.State, t.ProducerID, t.ProducerEpoch, t.PreviousProducerID, t.NextProducerID,
					t.ClientTransactionVersion,
					t.TimeoutMs, joined(t.Partitions), timestamp(t.StartTimestampMs), timestamp(t.LastUpdateTimestampMs))
			}
		})
	})
}

// DumpOffsets prints the records of __consumer_offsets, partition by partition, in log order: groups with their
// members, committed offsets, pending ones with their producer, and the markers.
func DumpOffsets(w io.Writer, under vfs.FS, dir string) error {
	return dump(w, under, dir, func(w *bufio.Writer, d *directory) error {
		return eachInternal(w, d, topics.ConsumerOffsets, func(at string, h batch.Header, r batch.Record) {
			s, err := groupcoordinator.DecodeRecord(r.Key, r.Value)
			if err != nil {
				fmt.Fprintf(w, "damaged %s: %v\n", at, err)
				return
			}
			printGroupRecord(w, at, h, &s)
		})
	})
}

func printGroupRecord(w io.Writer, at string, h batch.Header, s *groupcoordinator.StoredRecord) {
	switch {
	case s.Kind == groupcoordinator.StoredOther:
		fmt.Fprintf(w, "unknown %s key_type=%d\n", at, s.KeyType)
	case s.Kind == groupcoordinator.StoredTyped:
		what, text, _ := strings.Cut(s.Text, " ")
		fmt.Fprintf(w, "%s %s %s\n", what, at, text)
	case s.Kind == groupcoordinator.StoredOffset && s.Tombstone:
		fmt.Fprintf(w, "offset-tombstone %s group=%q topic_partition=%s-%d\n", at, s.Group, s.Topic, s.Partition)
	case s.Kind == groupcoordinator.StoredOffset:
		word := "committed"
		if h.IsTransactional() {
			word = "staged"
		}
		fmt.Fprintf(w, "%s %s group=%q topic_partition=%s-%d committed_offset=%d leader_epoch=%d metadata=%q "+
			"commit_timestamp=%s",
			word, at, s.Group, s.Topic, s.Partition, s.Offset, s.LeaderEpoch, s.Metadata, timestamp(s.CommitTimestampMs))
		if s.ExpireTimestampMs >= 0 {
			fmt.Fprintf(w, " expire_timestamp=%s", timestamp(s.ExpireTimestampMs))
		}
		if h.IsTransactional() {
			fmt.Fprintf(w, " producer_id=%d producer_epoch=%d", h.ProducerID, h.ProducerEpoch)
		}
		fmt.Fprintln(w)
	case s.Tombstone:
		fmt.Fprintf(w, "group-tombstone %s group=%q\n", at, s.Group)
	default:
		fmt.Fprintf(w, "group %s group=%q generation=%d protocol_type=%q protocol=%q leader=%q members=%d "+
			"state_timestamp=%s\n",
			at, s.Group, s.Generation, s.ProtocolType, s.Protocol, s.Leader, len(s.Members), timestamp(s.StateTimestampMs))
		for _, m := range s.Members {
			fmt.Fprintf(w, "member %s group=%q member_id=%q group_instance_id=%q client_id=%q client_host=%q "+
				"session_timeout_ms=%d rebalance_timeout_ms=%d subscription_bytes=%d assignment_bytes=%d\n",
				at, s.Group, m.MemberID, m.InstanceID, m.ClientID, m.ClientHost, m.SessionTimeoutMs, m.RebalanceTimeoutMs,
				m.SubscriptionSizeBytes, m.AssignmentSizeBytes)
		}
	}
}

// eachInternal reads the records of an internal topic and prints its markers; at is the place of a record.
func eachInternal(w io.Writer, d *directory, topic string, f func(at string, h batch.Header, r batch.Record)) error {
	for _, partition := range d.partitionsOf(topic) {
		err := eachBatch(d, partition, 0, math.MaxInt64, walk{
			bad: func(s segmentFile, bad *badBatch) {
				fmt.Fprintf(w, "damaged partition=%s file=%s position=%d: %v\n", partition, s.name, bad.position, bad.cause)
			},
			batch: func(_ segmentFile, r *batchReader) error {
				h := r.header
				if m, isMarker, err := batch.ParseMarker(r.raw); isMarker && err == nil {
					fmt.Fprintf(w, "marker partition=%s offset=%d type=%v producer_id=%d producer_epoch=%d coordinator_epoch=%d "+
						"timestamp=%s\n",
						partition, h.BaseOffset, m.Type, m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch, timestamp(m.TimestampMs))
					return nil
				}
				for rec, err := range batch.Records(r.raw, maxRecordBytes) {
					if err != nil {
						fmt.Fprintf(w, "damaged partition=%s position=%d: %v\n", partition, r.position, err)
						break
					}
					f(fmt.Sprintf("partition=%s offset=%d", partition, h.BaseOffset+int64(rec.OffsetDelta)), h, rec)
				}
				return nil
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
