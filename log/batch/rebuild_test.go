package batch

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestPrepareBringsBatchesToTheTopicsCodec(t *testing.T) {
	o := unsequenced()
	o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = 4000, 3, 17, true
	records := []Record{
		{Key: []byte("a"), Value: nil, TimestampDeltaMs: 30, Headers: []RecordHeader{{Key: "h", Value: nil}}},
		{OffsetDelta: 1, Key: nil, Value: mixed(100_000), TimestampDeltaMs: 10},
	}
	plain := Build(o, records...)
	for _, source := range allCodecs {
		for _, target := range allCodecs {
			for _, level := range []int{0, -1, 22} {
				r := testRules()
				r.Recompress, r.Codec, r.Level, r.MaxMessageBytes = true, target, level, 1<<20
				sent := compressed(t, source, plain)
				stored, h, err := Prepare(bytes.Clone(sent), r, testNowMs)
				if err != nil {
					t.Fatalf("%v to %v: %v", source, target, err)
				}
				if source == target && !bytes.Equal(stored, sent) {
					t.Errorf("%v: the payload was touched", source)
				}
				if read, err := Verify(stored); err != nil || read != h {
					t.Errorf("%v to %v: returned %+v, stored %+v, %v", source, target, h, read, err)
				}
				want := readHeader(plain)
				want.LengthBytes, want.CRC, want.Attributes = h.LengthBytes, h.CRC, attrTransactional|int16(target)
				if h != want {
					t.Errorf("%v to %v: header %+v, want %+v", source, target, h, want)
				}
				got, err := collect(stored, 1<<20)
				if err != nil || !reflect.DeepEqual(got, records) {
					t.Errorf("%v to %v: %d records, %v", source, target, len(got), err)
				}
			}
		}
	}
}

func TestPrepareLeavesTheCodecToTheProducer(t *testing.T) {
	for _, codec := range allCodecs {
		sent := compressed(t, codec, plainBatch(5))
		stored, h, err := Prepare(sent, testRules(), testNowMs)
		if err != nil || h.Codec() != codec || &stored[0] != &sent[0] {
			t.Errorf("%v: %v, %v", codec, h.Codec(), err)
		}
	}
}

// Old clients number the records of compressed batches as they like.
func TestPrepareNumbersCompressedRecords(t *testing.T) {
	records := append(recordBytes(0, 0, 10, 1, 1, 0), recordBytes(0, 2, 10, 1, 1, 0)...)
	for _, codec := range allCodecs[1:] {
		sent := ofBytes(codec, 2, deflated(t, codec, records))
		if _, err := Validate(sent, testRules(), testNowMs); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%v: Validate says %v", codec, err)
		}
		stored, h, err := Prepare(sent, testRules(), testNowMs)
		if err != nil {
			t.Fatal(err)
		}
		got, err := collect(stored, 1<<20)
		if err != nil || got[0].OffsetDelta != 0 || got[1].OffsetDelta != 1 || h.Codec() != codec {
			t.Errorf("%v: %v, %v", codec, got, err)
		}
	}
	stored, _, err := Prepare(ofBytes(None, 2, records), testRules(), testNowMs)
	if got, _ := collect(stored, 0); err != nil || got[0].OffsetDelta != 5 {
		t.Errorf("uncompressed: %v, %v", got, err)
	}
}

func TestPrepareSetsTheTimestampsOfRebuiltBatches(t *testing.T) {
	r := testRules()
	r.Recompress, r.Codec, r.LogAppendTime = true, Gzip, true
	raw, h, err := Prepare(plainBatch(3), r, testNowMs+9)
	if err != nil || h.MaxTimestampMs != testNowMs+9 || !h.IsLogAppendTime() {
		t.Errorf("%+v, %v", h, err)
	}
	if read, err := Verify(raw); err != nil || read != h {
		t.Errorf("stored %+v, %v", read, err)
	}
}

func TestPrepareMeasuresRebuiltBatches(t *testing.T) {
	sent := compressed(t, Gzip, Build(unsequenced(), Record{Value: make([]byte, 10_000)}))
	r := testRules()
	r.Recompress, r.Codec, r.MaxMessageBytes = true, None, 5_000
	if _, _, err := Prepare(bytes.Clone(sent), r, testNowMs); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over max.message.bytes: %v", err)
	}
	r.MaxMessageBytes, r.SegmentBytes = 20_000, 5_000
	if _, _, err := Prepare(bytes.Clone(sent), r, testNowMs); !errors.Is(err, ErrRecordListTooLarge) {
		t.Errorf("over segment.bytes: %v", err)
	}
	bad := bytes.Clone(sent)
	bad[70]++
	if _, _, err := Prepare(bad, r, testNowMs); !errors.Is(err, ErrCorrupt) {
		t.Errorf("corrupt: %v", err)
	}
}

func TestFilterKeepsPlaceAndTime(t *testing.T) {
	o := unsequenced()
	o.BaseOffset, o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.LeaderEpoch = 100, 5, 1, 40, 3
	plain := Build(o, Record{Key: []byte("a"), TimestampDeltaMs: 1}, Record{Key: []byte("b"), TimestampDeltaMs: 9},
		Record{Key: []byte("c"), TimestampDeltaMs: 4})
	for _, codec := range allCodecs {
		raw := compressed(t, codec, plain)
		old := readHeader(raw)
		out, err := Filter(raw, 1<<20, -1, func(r Record) bool { return string(r.Key) != "b" })
		if err != nil {
			t.Fatal(err)
		}
		h, err := Verify(out)
		want := old
		want.LengthBytes, want.CRC, want.RecordCount, want.MaxTimestampMs = h.LengthBytes, h.CRC, 2, testNowMs+4
		if err != nil || h != want {
			t.Errorf("%v: %+v, want %+v, %v", codec, h, want, err)
		}
		got, err := collect(out, 1<<20)
		if err != nil || len(got) != 2 || got[1].OffsetDelta != 2 || h.TimestampMs(got[1]) != testNowMs+4 {
			t.Errorf("%v: %v, %v", codec, got, err)
		}

		horizon, err := Filter(out, 1<<20, testNowMs+1_000_000, func(Record) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		h, err = Verify(horizon)
		if err != nil || !h.HasDeleteHorizon() || h.BaseTimestampMs != testNowMs+1_000_000 ||
			h.MaxTimestampMs != testNowMs+4 {
			t.Errorf("%v: with horizon: %+v, %v", codec, h, err)
		}
		for i, r := range mustCollect(t, horizon) {
			if want := old.TimestampMs(got[i]); h.TimestampMs(r) != want {
				t.Errorf("%v: with horizon: record %d at %d, want %d", codec, i, h.TimestampMs(r), want)
			}
		}
		again, err := Filter(horizon, 1<<20, 5, func(Record) bool { return true })
		if err != nil || readHeader(again).BaseTimestampMs != h.BaseTimestampMs {
			t.Errorf("%v: a horizon was set twice: %v", codec, err)
		}

		none, err := Filter(horizon, 1<<20, -1, func(Record) bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		empty, err := Verify(none)
		want = Header{BaseOffset: 100, LengthBytes: 49, LeaderEpoch: 3, Magic: 2, CRC: empty.CRC, LastOffsetDelta: 2,
			BaseTimestampMs: -1, MaxTimestampMs: testNowMs + 4, ProducerID: 5, ProducerEpoch: 1, BaseSequence: 40}
		if err != nil || empty != want {
			t.Errorf("%v: emptied: %+v, want %+v, %v", codec, empty, want, err)
		}
		if len(mustCollect(t, none)) != 0 {
			t.Errorf("%v: an empty batch has records", codec)
		}
	}
}

func TestFilterKeepsLogAppendTime(t *testing.T) {
	r := testRules()
	r.LogAppendTime = true
	raw := plainBatch(3)
	if _, err := Validate(raw, r, testNowMs+50); err != nil {
		t.Fatal(err)
	}
	out, err := Filter(raw, 0, -1, func(r Record) bool { return r.OffsetDelta == 1 })
	if h := readHeader(out); err != nil || h.MaxTimestampMs != testNowMs+50 || !h.IsLogAppendTime() {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestFilterReportsBrokenBatches(t *testing.T) {
	all := func(Record) bool { return true }
	if _, err := Filter(plainBatch(1)[:40], 0, -1, all); !errors.Is(err, ErrCorrupt) {
		t.Errorf("cut off: %v", err)
	}
	if _, err := Filter(ofBytes(None, 1, []byte{100}), 0, -1, all); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("broken record: %v", err)
	}
	if _, err := Filter(ofBytes(7, 1, nil), 0, -1, all); !errors.Is(err, ErrUnsupportedCompression) {
		t.Errorf("codec 7: %v", err)
	}
}

func mustCollect(t *testing.T, raw []byte) []Record {
	t.Helper()
	all, err := collect(raw, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
