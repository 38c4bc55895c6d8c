package batch

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// The captured batch has null and empty keys and values and all kinds of headers.
func TestBuildReproducesAProducersBatch(t *testing.T) {
	raw := golden(t, "franz-none")
	h, err := Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	records, err := collect(raw, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := Build(BuildOptions{
		BaseOffset: h.BaseOffset, ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch,
		BaseSequence: h.BaseSequence, TimestampMs: h.BaseTimestampMs, LeaderEpoch: h.LeaderEpoch,
	}, records...)
	if !bytes.Equal(got, raw) {
		t.Errorf("built\n%x, Kafka has\n%x", got, raw)
	}
}

func TestBuiltRecordsReadBack(t *testing.T) {
	want := []Record{
		{Key: []byte("k"), Value: nil, TimestampDeltaMs: 5},
		{OffsetDelta: 1, Key: nil, Value: []byte{}, TimestampDeltaMs: -3},
		{OffsetDelta: 2, Key: []byte{}, Value: bytes.Repeat([]byte("x"), 70_000), TimestampDeltaMs: 1 << 50,
			Headers: []RecordHeader{{Key: "", Value: nil}, {Key: "näme", Value: []byte{}}, {Key: "a", Value: []byte("b")}}},
	}
	o := unsequenced()
	o.Transactional, o.ProducerID, o.ProducerEpoch, o.BaseOffset = true, 9, 1, 77
	raw := Build(o, want...)
	h, err := Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	if h.MaxTimestampMs != testNowMs+1<<50 || h.LastOffset() != 79 || h.RecordCount != 3 || !h.IsTransactional() ||
		h.IsControl() {
		t.Errorf("header %+v", h)
	}
	for _, codec := range allCodecs {
		got, err := collect(compressed(t, codec, raw), 1<<20)
		if err != nil {
			t.Fatalf("%v: %v", codec, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got %v, want %v", codec, got, want)
		}
	}
}

func TestBuildAllocatesOnlyTheBatch(t *testing.T) {
	records := []Record{{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("k2"), Value: []byte("v2")}}
	o := unsequenced()
	if n := testing.AllocsPerRun(100, func() { Build(o, records...) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func TestMarkersAreByteForByteKafkas(t *testing.T) {
	for name, want := range map[string]MarkerType{"marker-commit": Commit, "marker-abort": Abort} {
		raw := golden(t, name)
		h, err := Verify(raw)
		if err != nil {
			t.Fatal(err)
		}
		m, ok, err := ParseMarker(raw)
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", name, ok, err)
		}
		if m.Type != want || m.ProducerID != h.ProducerID || m.ProducerEpoch != h.ProducerEpoch ||
			m.TimestampMs != h.MaxTimestampMs || m.CoordinatorEpoch != 0 || m.ProducerEpoch == 0 {
			t.Errorf("%s: %+v in %+v", name, m, h)
		}
		built := BuildMarker(m)
		SetOffsetAndEpoch(built, h.BaseOffset, h.LeaderEpoch)
		if !bytes.Equal(built, raw) {
			t.Errorf("%s: built\n%x, Kafka has\n%x", name, built, raw)
		}
		if len(built) != MarkerSizeBytes {
			t.Errorf("%s: %d bytes", name, len(built))
		}
	}
}

func TestMarkerSizeDoesNotDependOnItsFields(t *testing.T) {
	want := Marker{ProducerID: 1<<63 - 1, ProducerEpoch: 32767, Type: Commit, CoordinatorEpoch: 1<<31 - 1,
		TimestampMs: 1<<63 - 1}
	raw := BuildMarker(want)
	got, ok, err := ParseMarker(raw)
	if len(raw) != MarkerSizeBytes || got != want || !ok || err != nil {
		t.Errorf("%d bytes, %+v, %v, %v", len(raw), got, ok, err)
	}
}

func TestParseMarkerTellsTransactionMarkersFromOthers(t *testing.T) {
	control := func(key, value []byte) []byte {
		o := unsequenced()
		o.Control = true
		return Build(o, Record{Key: key, Value: value})
	}
	commit := BuildMarker(Marker{ProducerID: 1, Type: Commit})
	h, err := ParseHeader(commit)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw    []byte
		marker bool
		err    error
	}{
		"data":                  {raw: golden(t, "transactional")},
		"leader change":         {raw: control([]byte{0, 0, 0, 2}, []byte{0, 0})},
		"unknown control type":  {raw: control([]byte{0, 0, 0, 99}, nil)},
		"emptied by compaction": {raw: Empty(h)},
		"later key version":     {raw: control([]byte{0, 1, 0, 1, 9}, []byte{0, 0, 0, 0, 0, 3}), marker: true},
		"later value version":   {raw: control([]byte{0, 0, 0, 0}, []byte{0, 1, 0, 0, 0, 3, 7, 7}), marker: true},
		"short key":             {raw: control([]byte{0, 0, 0}, nil), err: ErrCorrupt},
		"null key":              {raw: control(nil, nil), err: ErrCorrupt},
		"negative key version":  {raw: control([]byte{255, 255, 0, 1}, make([]byte, 6)), err: ErrCorrupt},
		"short value":           {raw: control([]byte{0, 0, 0, 1}, make([]byte, 5)), err: ErrCorrupt},
		"negative version":      {raw: control([]byte{0, 0, 0, 1}, []byte{255, 255, 0, 0, 0, 0}), err: ErrCorrupt},
		"cut off":               {raw: commit[:70], err: ErrCorrupt},
		"broken record":         {raw: change(commit, func(b []byte) { b[HeaderSizeBytes] = 60 }), err: ErrCorrupt},
	} {
		_, marker, err := ParseMarker(c.raw)
		if marker != c.marker || !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
			t.Errorf("%s: got %v, %v", name, marker, err)
		}
	}
}
