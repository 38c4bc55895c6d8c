package batch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fuzzLimit keeps the memory that a fuzzed batch may inflate to small.
const fuzzLimit = 1 << 18

// addGolden seeds with every captured batch, as stored and as produced, and with every codec of our own.
func addGolden(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "*.bin"))
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		if !strings.Contains(name, "marker") {
			f.Add(asProduced(raw))
		}
	}
	for _, codec := range allCodecs {
		f.Add(compressed(f, codec, plainBatch(4)))
	}
}

// resealed makes length and CRC right, which no mutation would find by itself.
func resealed(raw []byte) []byte {
	if len(raw) < HeaderSizeBytes {
		return raw
	}
	return change(raw, func(b []byte) { b[posMagic] = Magic })
}

// Whatever Validate accepts is one whole batch whose records iterate to the end, as many as it says, and
// which is accepted again. Prepare agrees with Validate, and may accept more.
func FuzzValidate(f *testing.F) {
	addGolden(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, in := range [][]byte{raw, resealed(raw)} {
			r := testRules()
			r.MaxInflatedBytes = fuzzLimit
			checkValidate(t, in, r)
			r.Compacted, r.LogAppendTime = true, true
			checkValidate(t, in, r)
		}
	})
}

func checkValidate(t *testing.T, in []byte, r *Rules) {
	raw := append([]byte(nil), in...)
	var h Header
	var err error
	if n := allocated(func() { h, err = Validate(raw, r, testNowMs) }); n > 16*fuzzLimit+8*uint64(len(raw)) {
		t.Fatalf("%d bytes allocated for %d", n, len(raw))
	}
	stored, prepared, prepareErr := Prepare(append([]byte(nil), in...), r, testNowMs)
	if err == nil && (prepareErr != nil || prepared != h) {
		t.Fatalf("Validate: %+v, Prepare: %+v, %v", h, prepared, prepareErr)
	}
	if prepareErr == nil {
		checkAccepted(t, stored, prepared, r)
	}
	if err != nil {
		return
	}
	checkAccepted(t, raw, h, r)
	r2 := *r
	r2.LogAppendTime = h.IsLogAppendTime()
	if h.IsLogAppendTime() {
		return // a producer may not send that
	}
	if again, err := Validate(raw, &r2, testNowMs); err != nil || again != h {
		t.Fatalf("first %+v, then %+v, %v", h, again, err)
	}
}

func checkAccepted(t *testing.T, raw []byte, h Header, r *Rules) {
	stored, err := Verify(raw)
	if err != nil || stored != h {
		t.Fatalf("returned %+v, stored %+v, %v", h, stored, err)
	}
	var count int32
	latestMs := int64(NoTimestampMs)
	for rec, err := range Records(raw, r.MaxInflatedBytes) {
		if err != nil {
			t.Fatalf("accepted, but record %d: %v", count, err)
		}
		if r.Compacted && rec.Key == nil {
			t.Fatalf("record %d has no key", count)
		}
		latestMs = max(latestMs, h.TimestampMs(rec))
		count++
	}
	if count != h.RecordCount || latestMs != h.MaxTimestampMs {
		t.Fatalf("%d records until %d, header says %+v", count, latestMs, h)
	}
}

// Records never panics, never gives more records than the header says, and Filter keeps them all.
func FuzzRecords(f *testing.F) {
	addGolden(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, in := range [][]byte{raw, resealed(raw)} {
			var all []Record
			var err error
			if n := allocated(func() { all, err = collect(in, fuzzLimit) }); n > 128*fuzzLimit+8*uint64(len(in)) {
				t.Fatalf("%d bytes allocated for %d", n, len(in))
			}
			if err != nil {
				continue
			}
			if h := readHeader(in); int32(len(all)) != h.RecordCount {
				t.Fatalf("%d records of %d", len(all), h.RecordCount)
			}
			out, err := Filter(in, fuzzLimit, -1, func(Record) bool { return true })
			if err != nil {
				t.Fatal(err)
			}
			kept, err := collect(out, 2*fuzzLimit)
			if err != nil || len(kept) != len(all) {
				t.Fatalf("%d records of %d, %v", len(kept), len(all), err)
			}
			for i := range all {
				if kept[i].OffsetDelta != all[i].OffsetDelta || string(kept[i].Value) != string(all[i].Value) {
					t.Fatalf("record %d became %+v, was %+v", i, kept[i], all[i])
				}
			}
		}
	})
}

// What ParseMarker takes for a marker, BuildMarker can write.
func FuzzParseMarker(f *testing.F) {
	addGolden(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, in := range [][]byte{raw, resealed(raw)} {
			m, ok, err := ParseMarker(in)
			if err != nil && ok {
				t.Fatal("a marker and an error")
			}
			if !ok {
				continue
			}
			if again, ok, err := ParseMarker(BuildMarker(m)); !ok || err != nil || again != m {
				t.Fatalf("%+v became %+v, %v, %v", m, again, ok, err)
			}
		}
	})
}
