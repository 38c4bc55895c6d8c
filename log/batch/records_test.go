package batch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRecordsOfEveryProducerAndCodec(t *testing.T) {
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		raw := golden(t, "franz-"+codec)
		h, err := Verify(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := collect(raw, 1<<20)
		if err != nil || len(got) != 20 || h.RecordCount != 20 {
			t.Fatalf("%s: %d records of %d, %v", codec, len(got), h.RecordCount, err)
		}
		for i, r := range got {
			if r.OffsetDelta != int32(i) || h.TimestampMs(r) != 1_700_000_000_000+int64(i) {
				t.Errorf("%s: record %d has offset delta %d, timestamp %d", codec, i, r.OffsetDelta, h.TimestampMs(r))
			}
			key, value := fmt.Sprintf("key-%d", i), fmt.Sprintf("value-%d of a record that repeats, repeats, repeats", i)
			switch i {
			case 3:
				if r.Key != nil || string(r.Value) != value {
					t.Errorf("%s: null key became %q", codec, r.Key)
				}
			case 4:
				if r.Value != nil || string(r.Key) != key {
					t.Errorf("%s: null value became %q", codec, r.Value)
				}
			case 5:
				if r.Key == nil || r.Value == nil || len(r.Key)+len(r.Value) > 0 {
					t.Errorf("%s: empty key and value became %v, %v", codec, r.Key, r.Value)
				}
			default:
				if string(r.Key) != key || string(r.Value) != value {
					t.Errorf("%s: record %d is %s", codec, i, r.Key)
				}
			}
			if i == 6 {
				if s := fmt.Sprint(r.Headers); s != "[{trace [97 98 99]} { []} {null []}]" || r.Headers[1].Value == nil ||
					r.Headers[2].Value != nil {
					t.Errorf("%s: headers %s", codec, s)
				}
			} else if r.Headers != nil {
				t.Errorf("%s: record %d has headers", codec, i)
			}
		}
	}
	for _, codec := range []string{"gzip", "snappy", "lz4", "zstd"} {
		got, err := collect(golden(t, "java-"+codec), 1<<20)
		if err != nil || len(got) != 30 || string(got[29].Value) != "value 30 repeated repeated repeated" {
			t.Errorf("java %s: %d records, %v", codec, len(got), err)
		}
	}
}

// Each broken batch is broken in one way; compressed the same bytes must be refused for the same reason.
var brokenRecords = map[string]struct {
	count   int32
	records []byte
}{
	"no record":               {1, nil},
	"fewer records":           {2, recordBytes(0, 0, 0, 1, 1, 0)},
	"bytes after the last":    {1, append(recordBytes(0, 0, 0, 1, 1, 0), 0)},
	"longer than the batch":   {1, []byte{100, 0, 0, 0, 1, 1, 0}},
	"longer than its fields":  {1, recordBytes(0, 0, 0, 1, 1, 0, 0)},
	"shorter than its fields": {2, append([]byte{10, 0, 0, 0, 1, 1, 0}, recordBytes(0, 0, 0, 1, 1, 0)...)},
	"negative length":         {1, []byte{1, 0, 0, 0, 1, 1, 0}},
	"length 2^31-1":           {1, []byte{0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 1, 0}},
	"length of six bytes":     {1, []byte{0x8c, 0x80, 0x80, 0x80, 0x80, 0x00, 0, 0, 0, 1, 1, 0}},
	"key beyond the record":   {1, recordBytes(0, 0, 0, 40, 1, 0)},
	"key of 2^31-1 bytes":     {1, recordBytes(0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0)},
	"value beyond the record": {1, recordBytes(0, 0, 0, 1, 40, 0)},
	"negative header count":   {1, recordBytes(0, 0, 0, 1, 1, 1)},
	"2^31-1 headers":          {1, recordBytes(0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f)},
	"null header key":         {1, recordBytes(0, 0, 0, 1, 1, 2, 1, 1)},
	"header value beyond":     {1, recordBytes(0, 0, 0, 1, 1, 2, 0, 40)},
	"timestamp of 11 bytes":   {1, recordBytes(0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 1, 1, 0)},
	"ends in a number":        {1, []byte{0x8c}},
}

func TestRecordsRefusesBrokenStructure(t *testing.T) {
	for name, c := range brokenRecords {
		for _, codec := range allCodecs {
			raw := ofBytes(codec, c.count, deflated(t, codec, c.records))
			if _, err := collect(raw, 1<<20); !errors.Is(err, ErrInvalidRecord) {
				t.Errorf("%s, %v: Records says %v", name, codec, err)
			}
			if _, err := Validate(raw, testRules(), testNowMs); !errors.Is(err, ErrInvalidRecord) {
				t.Errorf("%s, %v: Validate says %v", name, codec, err)
			}
		}
	}
}

// What is unusual but allowed: lengths below -1 are null too, header keys may be empty.
func TestRecordsAcceptsOddStructure(t *testing.T) {
	for name, record := range map[string][]byte{
		"key length -2":         recordBytes(0, 0, 0, 3, 1, 0),
		"empty header, null":    recordBytes(0, 0, 0, 1, 1, 2, 0, 1),
		"attributes not zero":   recordBytes(1, 0, 0, 1, 1, 0),
		"number longer than it": recordBytes(0, 0x80, 0, 0, 1, 1, 0),
	} {
		raw := ofBytes(None, 1, record)
		if got, err := collect(raw, 0); err != nil || len(got) != 1 || got[0].Key != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if _, err := Validate(raw, testRules(), testNowMs); err != nil {
			t.Errorf("%s: Validate says %v", name, err)
		}
	}
}

func TestRecordHeadersHaveALimit(t *testing.T) {
	for extra, want := range map[int]error{0: nil, 1: ErrInvalidRecord} {
		raw := Build(unsequenced(), Record{Headers: make([]RecordHeader, MaxRecordHeaders+extra)})
		if _, err := Validate(raw, testRules(), testNowMs); !errors.Is(err, want) {
			t.Errorf("%d more: %v", extra, err)
		}
		if got, err := collect(raw, 0); !errors.Is(err, want) || want == nil && len(got[0].Headers) != MaxRecordHeaders {
			t.Errorf("%d more: %v", extra, err)
		}
	}
}

func TestRecordsStopsAtTheLimitOfInflatedBytes(t *testing.T) {
	plain := Build(unsequenced(), Record{Value: []byte(strings.Repeat("x", 10_000))}, Record{Value: []byte("y")})
	size := len(plain) - HeaderSizeBytes
	for _, codec := range allCodecs[1:] {
		raw := compressed(t, codec, plain)
		if got, err := collect(raw, size); err != nil || len(got) != 2 {
			t.Errorf("%v: %d records, %v", codec, len(got), err)
		}
		if _, err := collect(raw, size-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v: a byte less: %v", codec, err)
		}
	}
}

func TestRecordsNeedsOneWholeBatch(t *testing.T) {
	raw := plainBatch(2)
	for _, bad := range [][]byte{nil, raw[:61], raw[:len(raw)-1], append(raw[:len(raw):len(raw)], 0)} {
		if _, err := collect(bad, 0); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v", len(bad), len(raw), err)
		}
	}
	negative := setHeader(raw, func(h *Header) { h.RecordCount = -1 })
	if _, err := collect(negative, 0); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("negative count: %v", err)
	}
	unknown := setHeader(raw, func(h *Header) { h.Attributes = 6 })
	if _, err := collect(unknown, 0); !errors.Is(err, ErrUnsupportedCompression) {
		t.Errorf("codec 6: %v", err)
	}
}

func TestRecordsMayBeLeftEarly(t *testing.T) {
	for _, codec := range allCodecs {
		raw := compressed(t, codec, plainBatch(500))
		for range 3 {
			for r, err := range Records(raw, 1<<20) {
				if err != nil || string(r.Key) != "k0" {
					t.Fatalf("%v: %s, %v", codec, r.Key, err)
				}
				break
			}
		}
		if got, err := collect(raw, 1<<20); err != nil || len(got) != 500 || string(got[499].Key) != "k499" {
			t.Errorf("%v: %d records, %v", codec, len(got), err)
		}
	}
}
