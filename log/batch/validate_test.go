package batch

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

// What Apache Kafka 4.3.1 answered to the same bytes stands beside each case; * marks where this broker
// has a code of its own for what Kafka calls an unknown server error, or refuses more than Kafka.
func TestValidateAnswersAsKafka(t *testing.T) {
	good, two := plainBatch(1), append(plainBatch(1), plainBatch(1)...)
	set := func(edit func(h *Header)) []byte { return setHeader(plainBatch(2), edit) }
	poke := func(at int, v byte) []byte { b := plainBatch(1); b[at] = v; return b }
	lz, gz, zs, sn := asProduced(golden(t, "java-lz4")), asProduced(golden(t, "java-gzip")),
		asProduced(golden(t, "java-zstd")), asProduced(golden(t, "java-snappy"))
	with := func(raw []byte, extra ...byte) []byte {
		b := append(bytes.Clone(raw), extra...)
		seal(b)
		return b
	}
	without := func(raw []byte, n int) []byte { return with(raw[:len(raw)-n]) }
	short := func(offset byte) []byte { b := plainBatch(1)[:60]; b[7] = offset; seal(b); return b }
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"good":                    {good, nil},                                                            // 0
		"empty":                   {nil, ErrInvalidRecord},                                                // 87
		"16 bytes":                {good[:16], ErrInvalidRecord},                                          // 87
		"17 bytes":                {good[:17], ErrInvalidRecord},                                          // 87
		"cut off":                 {good[:len(good)-1], ErrInvalidRecord},                                 // 87
		"bytes after it":          {append(plainBatch(1), 1, 2, 3, 4, 5), ErrInvalidRecord},               // 0 *
		"two batches":             {two, ErrInvalidRecord},                                                // 87
		"magic 0":                 {poke(posMagic, 0), ErrInvalidRecord},                                  // 87
		"magic 1":                 {poke(posMagic, 1), ErrInvalidRecord},                                  // 87
		"magic 3":                 {poke(posMagic, 3), ErrCorrupt},                                        // 2
		"magic -1":                {poke(posMagic, 255), ErrCorrupt},                                      // 2
		"length 13":               {poke(posLength+3, 13), ErrCorrupt},                                    // 2
		"length -1":               {poke(posLength, 255), ErrCorrupt},                                     // 2
		"60 bytes":                {short(0), ErrCorrupt},                                                 // 2
		"60 bytes, base offset 5": {short(5), ErrInvalidRecord},                                           // 87
		"codec 5":                 {set(func(h *Header) { h.Attributes = 5 }), ErrUnsupportedCompression}, // -1 *
		"codec 7":                 {set(func(h *Header) { h.Attributes = 7 }), ErrUnsupportedCompression}, // -1 *
		"codec 5, wrong CRC":      {poke(posAttributes+1, 5), ErrUnsupportedCompression},                  // -1 *
		"base offset 5":           {set(func(h *Header) { h.BaseOffset = 5 }), ErrInvalidRecord},          // 87
		"CRC":                     {poke(posCRC+3, ^good[posCRC+3]), ErrCorrupt},                          // 2
		"payload":                 {poke(len(good)-2, '!'), ErrCorrupt},                                   // 2
		"last offset delta -1":    {set(func(h *Header) { h.LastOffsetDelta = -1 }), ErrInvalidRecord},    // 87
		"no record": {set(func(h *Header) { h.LastOffsetDelta, h.RecordCount = -1, 0 }),
			ErrInvalidRecord}, // 87
		"count 0":          {set(func(h *Header) { h.RecordCount = 0 }), ErrInvalidRecord},                       // 87
		"count 3, delta 1": {set(func(h *Header) { h.RecordCount = 3 }), ErrInvalidRecord},                       // 87
		"count 3, delta 2": {set(func(h *Header) { h.RecordCount, h.LastOffsetDelta = 3, 2 }), ErrInvalidRecord}, // 87
		"count 1, delta 0": {set(func(h *Header) { h.RecordCount, h.LastOffsetDelta = 1, 0 }), ErrInvalidRecord}, // 87
		"count 2, delta 5": {set(func(h *Header) { h.LastOffsetDelta = 5 }), ErrInvalidRecord},                   // 87
		"count 2^31-1": {set(func(h *Header) {
			h.RecordCount, h.LastOffsetDelta = math.MaxInt32,
				math.MaxInt32-1
		}), ErrInvalidRecord}, // 87
		"delta 2^31-1": {set(func(h *Header) { h.RecordCount, h.LastOffsetDelta = math.MinInt32, math.MaxInt32 }),
			ErrInvalidRecord}, // 87
		"control":             {set(func(h *Header) { h.Attributes = attrControl }), ErrInvalidRecord},           // 87
		"no sequence":         {set(func(h *Header) { h.ProducerID, h.ProducerEpoch = 5, 0 }), ErrInvalidRecord}, // 87
		"no producer epoch":   {set(func(h *Header) { h.ProducerID, h.BaseSequence = 5, 0 }), ErrInvalidRecord},  // 0 *
		"no producer, in txn": {set(func(h *Header) { h.Attributes = attrTransactional }), ErrInvalidRecord},     // 0 *
		"producer": {set(func(h *Header) { h.ProducerID, h.ProducerEpoch, h.BaseSequence = 5, 0, 7 }),
			nil}, // 0
		"producer ID -2":   {set(func(h *Header) { h.ProducerID, h.BaseSequence = -2, 0 }), nil},              // 0
		"delete horizon":   {set(func(h *Header) { h.Attributes = attrDeleteHorizon }), nil},                  // 0
		"high attributes":  {set(func(h *Header) { h.Attributes = -128 }), nil},                               // 0
		"timestamp -1":     {set(func(h *Header) { h.BaseTimestampMs = -1 }), nil},                            // 0
		"timestamp -2":     {set(func(h *Header) { h.BaseTimestampMs = -2 }), nil},                            // 0
		"timestamp 1970":   {set(func(h *Header) { h.BaseTimestampMs = 1000 }), nil},                          // 0
		"timestamp -2^63":  {set(func(h *Header) { h.BaseTimestampMs = math.MinInt64 }), ErrInvalidTimestamp}, // 32
		"timestamp 2^63-1": {set(func(h *Header) { h.BaseTimestampMs = math.MaxInt64 }), ErrInvalidTimestamp}, // 32
		"in an hour":       {set(func(h *Header) { h.BaseTimestampMs = testNowMs + 3600_000 - 1 }), nil},      // 0
		"in an hour and a bit": {set(func(h *Header) { h.BaseTimestampMs = testNowMs + 3600_000 }),
			ErrInvalidTimestamp}, // 32
		"LogAppendTime": {set(func(h *Header) { h.Attributes = attrLogAppendTime }), nil}, // 0
		"LogAppendTime -1": {set(func(h *Header) { h.Attributes, h.MaxTimestampMs = attrLogAppendTime, -1 }),
			ErrInvalidTimestamp}, // 32
		"LogAppendTime tomorrow": {set(func(h *Header) {
			h.Attributes, h.MaxTimestampMs = attrLogAppendTime,
				testNowMs+86400_000
		}), ErrInvalidTimestamp}, // 32
		"LogAppendTime hidden": {set(func(h *Header) {
			h.Attributes, h.BaseTimestampMs = attrLogAppendTime,
				math.MaxInt64
		}), ErrInvalidTimestamp}, // 0 *
		"offset deltas 5, 5": {ofBytes(None, 2, append(recordBytes(0, 0, 10, 1, 1, 0),
			recordBytes(0, 0, 10, 1, 1, 0)...)), nil}, // 0
		"lz4":                     {lz, nil},                                                           // 0
		"gzip":                    {gz, nil},                                                           // 0
		"zstd":                    {zs, nil},                                                           // 0
		"snappy":                  {sn, nil},                                                           // 0
		"lz4, bytes after it":     {with(lz, 1, 2, 3), nil},                                            // 0
		"gzip, bytes after it":    {with(gz, 1, 2, 3), nil},                                            // 0
		"gzip, zeros after it":    {with(gz, make([]byte, 20)...), nil},                                // 0
		"snappy, bytes after it":  {with(sn, 1, 2, 3), nil},                                            // 0
		"snappy, length after it": {with(sn, 0, 0, 1, 0), ErrInvalidRecord},                            // -1 *
		"snappy, length -1":       {with(sn, 255, 255, 255, 255), ErrInvalidRecord},                    // -1 *
		"zstd, bytes after it":    {with(zs, 1, 2, 3), ErrInvalidRecord},                               // -1 *
		"zstd, zeros after it":    {with(zs, make([]byte, 12)...), ErrInvalidRecord},                   // -1 *
		"lz4 without end mark":    {without(lz, 4), ErrInvalidRecord},                                  // -1 *
		"gzip without trailer":    {without(gz, 8), ErrInvalidRecord},                                  // -1 *
		"gzip checksum":           {change(gz, func(b []byte) { b[len(b)-6] ^= 1 }), ErrInvalidRecord}, // -1 *
		"zstd cut off":            {without(zs, 1), ErrInvalidRecord},                                  // -1 *
		"snappy cut off":          {without(sn, 1), ErrInvalidRecord},                                  // -1 *
		"lz4 header checksum":     {change(lz, func(b []byte) { b[67] ^= 1 }), ErrInvalidRecord},       // -1 *
		"lz4 of nothing":          {ofBytes(LZ4, 1, nil), ErrInvalidRecord},                            // -1 *
		"gzip of nothing":         {ofBytes(Gzip, 1, nil), ErrInvalidRecord},                           // -1 *
		"zstd of nothing":         {ofBytes(Zstd, 1, nil), ErrInvalidRecord},                           // 87
		"snappy of nothing":       {ofBytes(Snappy, 1, nil), ErrInvalidRecord},                         // -1 *
		"lz4 garbage":             {ofBytes(LZ4, 1, []byte("garbage garbage")), ErrInvalidRecord},      // -1 *
		"gzip garbage":            {ofBytes(Gzip, 1, []byte("garbage garbage")), ErrInvalidRecord},     // -1 *
		"zstd garbage":            {ofBytes(Zstd, 1, []byte("garbage garbage")), ErrInvalidRecord},     // -1 *
		"snappy garbage":          {ofBytes(Snappy, 1, []byte("garbage garbage")), ErrInvalidRecord},   // -1 *
	} {
		before := bytes.Clone(c.raw)
		h, err := Validate(c.raw, testRules(), testNowMs)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if err != nil {
			if !bytes.Equal(before, c.raw) || h != (Header{}) {
				t.Errorf("%s: refused, and changed", name)
			}
			continue
		}
		if stored, err := Verify(c.raw); err != nil || stored != h {
			t.Errorf("%s: returned %+v, stored %+v, %v", name, h, stored, err)
		}
	}
}

func TestZstdNeedsProduceVersion7(t *testing.T) {
	for version, want := range map[int16]error{6: ErrUnsupportedCompression, 7: nil} {
		r := testRules()
		r.ProduceVersion = version
		if _, err := Validate(asProduced(golden(t, "java-zstd")), r, testNowMs); !errors.Is(err, want) {
			t.Errorf("version %d: %v", version, err)
		}
		if _, err := Validate(asProduced(golden(t, "java-lz4")), r, testNowMs); err != nil {
			t.Errorf("lz4, version %d: %v", version, err)
		}
	}
}

// Each batch fails in everything from its row on: the row decides.
func TestChecksComeInKafkasOrder(t *testing.T) {
	r := testRules()
	r.MaxMessageBytes, r.SegmentBytes, r.Compacted, r.ProduceVersion = 100, 100, true, 6
	record := recordBytes(0, 0, 0, 1, 1, 0) // without a key
	twoHours := func(h *Header) { h.BaseTimestampMs = testNowMs + 7200_000 }
	plain := setHeader(ofBytes(None, 1, record), twoHours)
	broken := setHeader(ofBytes(None, 1, append(bytes.Clone(record), 0)), twoHours)
	badCount := setHeader(broken, func(h *Header) { h.RecordCount = 9 })
	badCRC := bytes.Clone(badCount)
	badCRC[posCRC]++
	large := append(bytes.Clone(badCRC), make([]byte, 100)...)
	large[posLength+3] += 100
	offset := bytes.Clone(large)
	offset[0] = 1
	zstd := bytes.Clone(offset)
	zstd[posAttributes+1] |= byte(Zstd)
	for _, c := range []struct {
		row  string
		raw  []byte
		want error
	}{
		{"5", append(bytes.Clone(zstd), 0), ErrInvalidRecord},
		{"6", zstd, ErrUnsupportedCompression},
		{"13", offset, ErrInvalidRecord},
		{"14", large, ErrTooLarge},
		{"15", badCRC, ErrCorrupt},
		{"16", badCount, ErrInvalidRecord},
		{"17", broken, ErrInvalidRecord},
	} {
		_, err := Validate(c.raw, r, testNowMs)
		if perRecord := (*RecordErrors)(nil); !errors.Is(err, c.want) || errors.As(err, &perRecord) {
			t.Errorf("row %s: got %v, want %v", c.row, err, c.want)
		}
	}
	r.SegmentBytes = 60
	var perRecord *RecordErrors
	if _, err := Validate(plain, r, testNowMs); !errors.As(err, &perRecord) {
		t.Errorf("row 18: %v", err)
	}
	r.Compacted, r.TimestampAfterMaxMs = false, math.MaxInt64
	if _, err := Validate(plain, r, testNowMs); !errors.Is(err, ErrRecordListTooLarge) {
		t.Errorf("row 20: %v", err)
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	raw := plainBatch(3)
	size := int32(len(raw))
	for _, c := range []struct {
		message, segment int32
		want             error
	}{{size, size, nil}, {size - 1, size, ErrTooLarge}, {size, size - 1, ErrRecordListTooLarge}} {
		r := testRules()
		r.MaxMessageBytes, r.SegmentBytes = c.message, c.segment
		if _, err := Validate(raw, r, testNowMs); !errors.Is(err, c.want) {
			t.Errorf("%d, %d: %v", c.message-size, c.segment-size, err)
		}
	}
}

func TestEveryFailingRecordIsReported(t *testing.T) {
	key := []byte("k")
	const twoHoursMs = 7200_000
	for name, c := range map[string]struct {
		records []Record
		change  func(r *Rules)
		want    error
		indexes []int32
	}{
		"keys, topic not compacted": {[]Record{{}, {Key: key}}, func(r *Rules) { r.Compacted = false }, nil, nil},
		"one key missing":           {[]Record{{Key: key}, {}, {Key: key}}, nil, ErrInvalidRecord, []int32{1}},
		"empty key":                 {[]Record{{Key: []byte{}}}, nil, nil, nil},
		"key missing and bad time": {[]Record{{Key: key}, {}, {Key: key, TimestampDeltaMs: twoHoursMs}}, nil,
			ErrInvalidTimestamp, []int32{1, 2}},
		"bad time, then key missing": {[]Record{{Key: key, TimestampDeltaMs: twoHoursMs}, {}}, nil, ErrInvalidTimestamp,
			[]int32{0, 1}},
		"both in one record: the key": {[]Record{{TimestampDeltaMs: twoHoursMs}}, nil, ErrInvalidRecord, []int32{0}},
		"too old": {[]Record{{Key: key, TimestampDeltaMs: -1001}, {Key: key, TimestampDeltaMs: -1000}},
			func(r *Rules) { r.TimestampBeforeMaxMs = 1000 }, ErrInvalidTimestamp, []int32{0}},
		"no timestamp is not too old": {[]Record{{Key: key, TimestampDeltaMs: -1 - testNowMs}},
			func(r *Rules) { r.TimestampBeforeMaxMs = 1000 }, nil, nil},
		"no bounds with LogAppendTime": {[]Record{{Key: key, TimestampDeltaMs: twoHoursMs}},
			func(r *Rules) { r.LogAppendTime = true }, nil, nil},
	} {
		r := testRules()
		r.Compacted = true
		if c.change != nil {
			c.change(r)
		}
		for _, codec := range allCodecs {
			_, err := Validate(compressed(t, codec, Build(unsequenced(), c.records...)), r, testNowMs)
			if c.want == nil {
				if err != nil {
					t.Errorf("%s, %v: %v", name, codec, err)
				}
				continue
			}
			var refused *RecordErrors
			if !errors.As(err, &refused) || !errors.Is(err, c.want) || refused.Total != len(c.indexes) {
				t.Errorf("%s, %v: %v", name, codec, err)
				continue
			}
			for i, e := range refused.Records {
				if e.Index != c.indexes[i] || e.Message == "" {
					t.Errorf("%s, %v: error %d is %+v", name, codec, i, e)
				}
			}
		}
	}
}

func TestRecordErrorsAreCountedBeyondTheirLimit(t *testing.T) {
	r := testRules()
	r.Compacted = true
	_, err := Validate(Build(unsequenced(), make([]Record, MaxRecordErrors+7)...), r, testNowMs)
	var refused *RecordErrors
	if !errors.As(err, &refused) || len(refused.Records) != MaxRecordErrors || refused.Total != MaxRecordErrors+7 {
		t.Errorf("got %v", err)
	}
}

func TestMaxTimestampIsCorrected(t *testing.T) {
	right := plainBatch(3)
	for name, c := range map[string]struct{ said, base, want int64 }{
		"right":   {testNowMs + 2, testNowMs, testNowMs + 2},
		"too low": {5, testNowMs, testNowMs + 2}, "too high": {math.MaxInt64, testNowMs, testNowMs + 2},
		"all below -1": {7, -100, NoTimestampMs},
	} {
		raw := setHeader(right, func(h *Header) { h.MaxTimestampMs, h.BaseTimestampMs = c.said, c.base })
		h, err := Validate(raw, testRules(), testNowMs)
		if err != nil || h.MaxTimestampMs != c.want {
			t.Errorf("%s: %d, %v", name, h.MaxTimestampMs, err)
		}
		if stored, err := Verify(raw); err != nil || stored != h {
			t.Errorf("%s: stored %+v, %v", name, stored, err)
		}
	}
	before := bytes.Clone(right)
	if _, err := Validate(right, testRules(), testNowMs); err != nil || !bytes.Equal(before, right) {
		t.Error("a right batch was changed")
	}
}

func TestLogAppendTimeIsSetAndCleared(t *testing.T) {
	r := testRules()
	r.LogAppendTime = true
	raw := setHeader(plainBatch(3), func(h *Header) {
		h.Attributes = -1 &^ (attrCodec | attrControl | attrLogAppendTime | attrTransactional)
	})
	h, err := Validate(raw, r, testNowMs+500)
	if err != nil || h.MaxTimestampMs != testNowMs+500 || h.Attributes != attrLogAppendTime|attrDeleteHorizon {
		t.Errorf("set: %+v, %v", h, err)
	}
	if stored, err := Verify(raw); err != nil || stored != h {
		t.Errorf("set: stored %+v, %v", stored, err)
	}
	var refused *RecordErrors
	if _, err := Validate(raw, r, testNowMs); !errors.As(err, &refused) || refused.Total != 3 ||
		!errors.Is(err, ErrInvalidTimestamp) {
		t.Errorf("sent by a client: %v", err)
	}
	raw = setHeader(raw, func(h *Header) { h.MaxTimestampMs = testNowMs + 2 }) // already right
	h, err = Validate(raw, testRules(), testNowMs)
	if err != nil || h.IsLogAppendTime() || h.MaxTimestampMs != testNowMs+2 {
		t.Errorf("cleared: %+v, %v", h, err)
	}
	if stored, err := Verify(raw); err != nil || stored != h {
		t.Errorf("cleared: stored %+v, %v", stored, err)
	}
}

func TestValidateDoesNotAllocatePerRecord(t *testing.T) {
	for _, codec := range allCodecs {
		few, many := compressed(t, codec, plainBatch(10)), compressed(t, codec, plainBatch(5000))
		r := testRules()
		count := func(raw []byte) float64 {
			return testing.AllocsPerRun(50, func() {
				if _, err := Validate(raw, r, testNowMs); err != nil {
					t.Fatal(err)
				}
			})
		}
		a, b := count(few), count(many)
		// A decoder may be new, as the race detector empties pools at random.
		if codec == None && b > 0 || b > a+50 {
			t.Errorf("%v: %v allocations for 10 records, %v for 5000", codec, a, b)
		}
	}
}
