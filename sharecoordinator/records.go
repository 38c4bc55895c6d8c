package sharecoordinator

import (
	"once/internal/fields"
	"once/log/batch"
	"once/sharepartition/window"
)

// Records of __share_group_state (spec: share-groups 14). A key is an int16 type and the share partition, a value an
// int16 version and its fields in the flexible encoding. A null value under key type 0 removes the state.
//
//	key        type int16, group string, topicId 16 bytes, partition int32
//	snapshot 0 snapshotEpoch int32, stateEpoch int32, leaderEpoch int32, startOffset int64, createTimestamp int64,
//	           writeTimestamp int64, stateBatches, tag 0: deliveryCompleteCount int32
//	update 1   snapshotEpoch int32, leaderEpoch int32, startOffset int64, stateBatches, tag 0: deliveryCompleteCount
//	batch      firstOffset int64, lastOffset int64, deliveryState int8, deliveryCount int16, no tags
const (
	keyTypeSnapshot = 0
	keyTypeUpdate   = 1
	valueVersion    = 0

	batchSizeBytes = 8 + 8 + 1 + 2 + 1 // the last byte is the count of tags
)

// Record is one decoded record.
type Record struct {
	Key       Key
	Snapshot  bool // else an update
	Tombstone bool

	SnapshotEpoch, StateEpoch, LeaderEpoch int32 // an update has no state epoch
	StartOffset                            int64 // of an update: -1 for no change
	CreateTimestampMs, WriteTimestampMs    int64 // of a snapshot
	DeliveryCompleteCount                  int32 // -1 unknown
	Batches                                []window.Batch
}

// batch makes one record batch of the record.
func (r *Record) batch(nowMs int64) []byte {
	record := batch.Record{Key: r.appendKey(nil)}
	if !r.Tombstone {
		record.Value = r.appendValue(make([]byte, 0, 64+batchSizeBytes*len(r.Batches)))
	}
	return batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: nowMs}, record)
}

func (r *Record) appendKey(b []byte) []byte {
	keyType := int16(keyTypeUpdate)
	if r.Snapshot {
		keyType = keyTypeSnapshot
	}
	b = fields.AppendString(fields.AppendInt16(b, keyType), r.Key.Group)
	return fields.AppendInt32(append(b, r.Key.TopicID[:]...), r.Key.Partition)
}

func (r *Record) appendValue(b []byte) []byte {
	b = fields.AppendInt32(fields.AppendInt16(b, valueVersion), r.SnapshotEpoch)
	if r.Snapshot {
		b = fields.AppendInt32(b, r.StateEpoch)
	}
	b = fields.AppendInt64(fields.AppendInt32(b, r.LeaderEpoch), r.StartOffset)
	if r.Snapshot {
		b = fields.AppendInt64(fields.AppendInt64(b, r.CreateTimestampMs), r.WriteTimestampMs)
	}
	b = fields.AppendCompactLen(b, len(r.Batches))
	for _, x := range r.Batches {
		b = fields.AppendInt64(fields.AppendInt64(b, x.FirstOffset), x.LastOffset)
		b = append(fields.AppendInt16(append(b, byte(x.State)), x.DeliveryCount), 0)
	}
	if r.DeliveryCompleteCount == -1 {
		return append(b, 0)
	}
	return fields.AppendInt32(append(b, 1, 0, 4), r.DeliveryCompleteCount) // one tag: number 0, 4 bytes
}

// DecodeRecord reads a key and its value. Its error wraps fields.ErrDamaged.
func DecodeRecord(key, value []byte) (Record, error) {
	k := fields.NewReader(key)
	keyType := k.Int16()
	if keyType != keyTypeSnapshot && keyType != keyTypeUpdate {
		k.Fail("key type %d", keyType)
	}
	r := Record{Snapshot: keyType == keyTypeSnapshot, Tombstone: value == nil, StartOffset: unchanged,
		DeliveryCompleteCount: -1}
	r.Key = Key{Group: k.String(), TopicID: k.UUID(), Partition: k.Int32()}
	if err := k.Finish(); err != nil || r.Tombstone {
		return r, err
	}
	v := fields.NewReader(value)
	if version := v.Int16(); version != valueVersion {
		v.Fail("value of version %d, known is %d", version, valueVersion)
	}
	r.decodeValue(v)
	return r, v.Err()
}

func (r *Record) decodeValue(v *fields.Reader) {
	r.SnapshotEpoch = v.Int32()
	if r.Snapshot {
		r.StateEpoch = v.Int32()
	}
	r.LeaderEpoch, r.StartOffset = v.Int32(), v.Int64()
	if r.Snapshot {
		r.CreateTimestampMs, r.WriteTimestampMs = v.Int64(), v.Int64()
	}
	for n := v.ArrayLen(batchSizeBytes); n > 0 && v.Err() == nil; n-- {
		b := window.Batch{FirstOffset: v.Int64(), LastOffset: v.Int64(), State: window.State(v.Int8()),
			DeliveryCount: v.Int16()}
		v.Tags(nil)
		r.Batches = append(r.Batches, b)
	}
	v.Tags(func(tag int, value *fields.Reader) {
		if tag == 0 {
			r.DeliveryCompleteCount = value.Int32()
		}
	})
}
