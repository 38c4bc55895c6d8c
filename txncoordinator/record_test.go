package txncoordinator

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
)

func recordOf(t testing.TB, raw []byte) batch.Record {
	t.Helper()
	for r, err := range batch.Records(raw, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		return batch.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
	}
	t.Fatal("no record")
	return batch.Record{}
}

// TestRecordBytes has the layout of transactions 3 byte by byte.
func TestRecordBytes(t *testing.T) {
	txn := image(Ongoing, 3)
	txn.Partitions = []TopicPartition{{"x", 0}, {"x", 1}, {"y", 2}}
	txn.StartTimestampMs, txn.LastUpdateTimestampMs = 0x55, 0x66
	common := "0000000000000007" + "0003" + "0000ea60" + "01"
	for _, row := range []struct {
		name  string
		level int16
		alter func(*Transaction)
		want  string
	}{
		{"v0", 0, nil, "0000" + common +
			"00000002" + "000178" + "00000002" + "00000000" + "00000001" + "000179" + "00000001" + "00000002" +
			"0000000000000066" + "0000000000000055"},
		{"v1, defaults omitted", 1, func(x *Transaction) { x.PreviousProducerID = -1 }, "0001" + common +
			"03" + "0278" + "03" + "00000000" + "00000001" + "00" + "0279" + "02" + "00000002" + "00" +
			"0000000000000066" + "0000000000000055" + "00"},
		{"v1, all tags", 2, func(x *Transaction) { x.NextProducerID, x.ClientTransactionVersion = 9, 2 }, "0001" + common +
			"03" + "0278" + "03" + "00000000" + "00000001" + "00" + "0279" + "02" + "00000002" + "00" +
			"0000000000000066" + "0000000000000055" + "03" + "00080000000000000007" + "01080000000000000009" + "02020002"},
		{"no partitions in Complete", 1, func(x *Transaction) {
			x.State, x.Partitions, x.PreviousProducerID = CompleteCommit,
				nil, -1
		},
			"0001" + strings.TrimSuffix(common, "01") + "04" + "01" + "0000000000000066" + "0000000000000055" + "00"},
		{"null in Empty", 1, func(x *Transaction) { x.State, x.Partitions, x.PreviousProducerID = Empty, nil, -1 },
			"0001" + strings.TrimSuffix(common, "01") + "00" + "00" + "0000000000000066" + "0000000000000055" + "00"},
		{"null in Empty, v0", 0, func(x *Transaction) { x.State, x.Partitions = Empty, nil },
			"0000" + strings.TrimSuffix(common, "01") + "00" + "ffffffff" + "0000000000000066" + "0000000000000055"},
	} {
		x := txn
		if row.alter != nil {
			row.alter(&x)
		}
		raw := encodeTransaction(&x, row.level, 1)
		if h, err := batch.Verify(raw); err != nil || h.RecordCount != 1 || h.IsTransactional() || h.HasProducer() ||
			h.BaseSequence != -1 {
			t.Error(row.name, h, err)
		}
		r := recordOf(t, raw)
		if got := hex.EncodeToString(r.Key); got != "0000"+"0001"+"74" {
			t.Errorf("%s: key %s", row.name, got)
		}
		if got := hex.EncodeToString(r.Value); got != row.want {
			t.Errorf("%s:\n%s, want\n%s", row.name, got, row.want)
		}
	}
	r := recordOf(t, encodeTombstone("t", 1))
	if hex.EncodeToString(r.Key) != "0000000174" || r.Value != nil {
		t.Error(r)
	}
}

// TestUnknownRecordsAreSkipped: a record of the next version of key or value is left out with a
// warning, and the rest of the log counts.
func TestUnknownRecordsAreSkipped(t *testing.T) {
	w := newWorld()
	j := w.stateLog(0).(*memStateLog)
	txn := image(Empty, 5)
	known := recordOf(t, encodeTransaction(&txn, 1, 1))
	with := func(b []byte, version byte) []byte {
		b = bytes.Clone(b)
		b[1] = version
		return b
	}
	for _, r := range []batch.Record{
		known, {Key: with(known.Key, 1), Value: known.Value}, {Key: known.Key, Value: with(known.Value, 2)},
		{Key: known.Key, Value: known.Value[:9]}, {Key: nil, Value: known.Value}, {Key: known.Key, Value: []byte{0, 1}},
	} {
		j.batches = append(j.batches, buildRecord(r, 1))
	}
	var logged bytes.Buffer
	c := loaded(t, w, func(cfg *Config) { cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
	if d, err := c.Describe("t"); err != nil || d.ProducerEpoch != 5 {
		t.Error(d, err)
	}
	if warned, failed := strings.Count(logged.String(), "level=WARN"),
		strings.Count(logged.String(), "level=ERROR"); warned != 2 || failed != 3 {
		t.Errorf("%d warnings, %d errors:\n%s", warned, failed, logged.String())
	}
}

// FuzzDecodeRecord: whatever stands in the log, decoding neither panics nor takes much more memory than
// the record has bytes; what decodes, encodes to the same image.
func FuzzDecodeRecord(f *testing.F) {
	txn := image(PrepareCommit, 3)
	txn.Partitions = []TopicPartition{{"x", 0}, {"x", 1}, {"y", 2}}
	for _, level := range []int16{0, 2} {
		r := recordOf(f, encodeTransaction(&txn, level, 1))
		f.Add(r.Key, r.Value)
		f.Add([]byte{0, 1, 0, 0}, append([]byte{0, 2}, r.Value[2:]...))
	}
	f.Add([]byte{0, 0, 0x7f, 0xff, 'x'}, []byte{0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		id, err := decodeKey(key)
		if err != nil {
			id = "t"
		}
		got, err := decodeValue(id, value)
		if err != nil {
			if len(value) >= 2 && value[0] == 0 && value[1] > 1 && !errors.Is(err, errUnknownVersion) {
				t.Errorf("version %d: %v", value[1], err)
			}
			return
		}
		level := int16(0)
		if value[1] == 1 {
			level = 1
		}
		var v kmsg.TxnMetadataValue
		if err := v.ReadFrom(value); err != nil {
			t.Fatal(err)
		}
		if len(id) > 1000 || v.NextProducerEpoch != -1 || got.State == Empty && len(got.Partitions) > 0 {
			return // not written by this broker
		}
		again, err := decodeValue(id, recordOf(t, encodeTransaction(&got, level, 1)).Value)
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", got) {
			t.Errorf("%+v\n%+v, %v", got, again, err)
		}
	})
}
