package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand"
	"runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// allocated is how many bytes fn takes from the heap.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// hugeRecord starts a record that announces n bytes, nearly all of them in its value.
func hugeRecord(n int) []byte {
	b := binary.AppendVarint(nil, int64(n))
	b = append(b, 0, 0, 0, 1)
	return binary.AppendVarint(b, int64(n-5-varintSize(int64(n))))
}

func lz4Frame(flags byte, contentSize uint64, blocks ...[]byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	b = append(b, flags, 7<<4)
	if flags&lz4FlagContentSize != 0 {
		b = binary.LittleEndian.AppendUint64(b, contentSize)
	}
	b = append(b, byte(xxh32(b[4:])>>8))
	for _, block := range blocks {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(block))), block...)
	}
	return append(b, 0, 0, 0, 0)
}

// zstdFrame has a window byte, then blocks given with their headers.
func zstdFrame(window byte, blocks ...[]byte) []byte {
	return append([]byte{0x28, 0xB5, 0x2F, 0xFD, 0, window}, slices.Concat(blocks...)...)
}

func zstdBlock(kind, size uint32, last bool, content ...byte) []byte {
	header := size<<3 | kind<<1
	if last {
		header |= 1
	}
	return append([]byte{byte(header), byte(header >> 8), byte(header >> 16)}, content...)
}

// Nothing that a few bytes announce, and nothing that they inflate to beyond the limit, takes memory.
func TestBombsAreRefusedAndTakeNoMemory(t *testing.T) {
	const limit = 1 << 20
	const most = limit + 5<<20 // a decoder's own tables, its window, one block
	zeros := make([]byte, 8<<20)
	big := append(hugeRecord(len(zeros)), zeros...)
	lz4Block := make([]byte, lz4.CompressBlockBound(4<<20))
	n, err := lz4.CompressBlock(big[:4<<20], lz4Block, nil)
	if err != nil {
		t.Fatal(err)
	}
	lz4Block = lz4Block[:n]
	rle := zstdBlock(1, zstdMaxBlockBytes, false, 0)
	last := zstdBlock(0, 0, true)
	rawStart := zstdBlock(0, uint32(len(hugeRecord(1<<30))), false, hugeRecord(1<<30)...)
	xerial := func(length uint32, block ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(slices.Clone(xerialHeader), length), block...)
	}
	for name, c := range map[string]struct {
		codec   Codec
		payload []byte
		want    error
	}{
		"gzip": {Gzip, deflated(t, Gzip, big), ErrTooLarge},
		"gzip members": {Gzip, slices.Concat(deflated(t, Gzip, hugeRecord(1<<30)),
			bytes.Repeat(deflated(t, Gzip, zeros[:limit/2]), 3)), ErrTooLarge},
		"snappy, bare":             {Snappy, snappy.Encode(nil, big), ErrTooLarge},
		"snappy, framed":           {Snappy, deflated(t, Snappy, big), ErrTooLarge},
		"snappy says 2^32-1":       {Snappy, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 'a'}, ErrInvalidRecord},
		"snappy says 2^31, framed": {Snappy, xerial(7, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 'a'), ErrInvalidRecord},
		"snappy chunk of 2^31":     {Snappy, xerial(1<<31, 1, 0, 'a'), ErrInvalidRecord},
		"snappy chunk of 2^32-1":   {Snappy, xerial(1<<32-1, 1, 0, 'a'), ErrInvalidRecord},
		"snappy literal of 2^32":   {Snappy, []byte{5, 63 << 2, 255, 255, 255, 255, 'a'}, ErrInvalidRecord},
		"snappy extension: repeat": {Snappy, []byte{0x80, 0x80, 0x40, 0, 'a', 7<<2 | 1, 0, 0xff, 0xff, 0x0f},
			ErrInvalidRecord},
		"lz4":                   {LZ4, lz4Frame(0x60, 0, lz4Block, lz4Block), ErrTooLarge},
		"lz4 with content size": {LZ4, lz4Frame(0x60|lz4FlagContentSize, 1<<62), ErrInvalidRecord},
		"lz4 block of 2^31-1":   {LZ4, append(lz4Frame(0x60, 0)[:7], 0xff, 0xff, 0xff, 0x7f, 0), ErrInvalidRecord},
		"zstd":                  {Zstd, deflated(t, Zstd, big), ErrTooLarge},
		"zstd, repeated bytes":  {Zstd, zstdFrame(17<<3, rawStart, bytes.Repeat(rle, 1000), last), ErrTooLarge},
		"zstd window 2^41":      {Zstd, zstdFrame(31<<3, last), ErrInvalidRecord},
		"zstd window 2^31":      {Zstd, zstdFrame(21<<3, last), ErrInvalidRecord},
		"zstd window 2^27":      {Zstd, zstdFrame(17<<3, last), ErrInvalidRecord},
		"zstd windows 2^27":     {Zstd, bytes.Repeat(zstdFrame(17<<3, last), 1000), ErrInvalidRecord},
		"zstd content size 2^62": {Zstd, append([]byte{0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x40}, last...),
			ErrInvalidRecord},
		"zstd content size 2^64-1": {Zstd, append([]byte{0x28, 0xB5, 0x2F, 0xFD, 0xE0, 255, 255, 255, 255, 255, 255, 255,
			255}, last...), ErrInvalidRecord},
		"zstd content over limit": {Zstd, slices.Concat([]byte{0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0, 0, 0x20, 0},
			bytes.Repeat(rle, 15), zstdBlock(1, zstdMaxBlockBytes, true, 0)), ErrTooLarge},
		"zstd skippable of 2^32-1": {Zstd, []byte{0x50, 0x2A, 0x4D, 0x18, 255, 255, 255, 255, 0}, ErrInvalidRecord},
		"zstd block of 2 MiB":      {Zstd, zstdFrame(17<<3, zstdBlock(1, 1<<21-1, true, 0)), ErrInvalidRecord},
		"zstd block of no kind":    {Zstd, zstdFrame(17<<3, zstdBlock(3, 1, true, 0)), ErrInvalidRecord},
		"zstd dictionary that lies": {Zstd, append([]byte{0x28, 0xB5, 0x2F, 0xFD, 3, 17 << 3, 1, 2, 3, 4}, last...),
			ErrInvalidRecord},
	} {
		raw := ofBytes(c.codec, 1, c.payload)
		r := testRules()
		r.MaxInflatedBytes, r.MaxMessageBytes = limit, 1<<24
		check := func(by string, most uint64, fn func() error) {
			var err error
			if n := allocated(func() { err = fn() }); n > most {
				t.Errorf("%s: %s allocates %d bytes for %d", name, by, n, len(raw))
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %s says %v, want %v", name, by, err, c.want)
			}
		}
		check("Validate", most, func() error { _, err := Validate(raw, r, testNowMs); return err })
		check("Records", most, func() error { _, err := collect(raw, limit); return err })
		// A buffer that grows to the limit has had four times that in all. Where a pool is empty, lz4 makes another block.
		const grown = 4*limit + 4<<20
		check("Inflate", most+grown, func() error {
			inflated, err := Inflate(c.payload, c.codec, limit)
			if err == nil && len(inflated) == 0 { // only for the others an error: there is no record
				return c.want
			}
			return err
		})
	}
}

// What is inflated as a whole may have as many bytes as the limit, and not one more.
func TestInflate(t *testing.T) {
	plain := mixed(70_000)
	for _, codec := range allCodecs {
		payload := plain
		if codec != None {
			payload = deflated(t, codec, plain)
		}
		if got, err := Inflate(payload, codec, len(plain)); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%v: %d bytes, %v", codec, len(got), err)
		}
		if _, err := Inflate(payload, codec, len(plain)-1); (codec != None) != errors.Is(err, ErrTooLarge) {
			t.Errorf("%v: one byte more than the limit: %v", codec, err)
		}
	}
	if _, err := Inflate(plain, 5, 1); !errors.Is(err, ErrUnsupportedCompression) {
		t.Errorf("got %v", err)
	}
}

// One decoder serves many batches; each must come out whole whatever was before it.
func TestDecodersAreReusableAfterFailures(t *testing.T) {
	good := plainBatch(3000)
	for _, codec := range allCodecs[1:] {
		raw := compressed(t, codec, good)
		for cut := len(raw) - 1; cut > HeaderSizeBytes; cut -= 1 + len(raw)/40 {
			if _, err := collect(change(raw[:cut], func([]byte) {}), 1<<20); err == nil && codec != Gzip {
				t.Errorf("%v: cut to %d bytes and read", codec, cut)
			}
			if got, err := collect(raw, 1<<20); err != nil || len(got) != 3000 {
				t.Fatalf("%v: after a batch of %d bytes: %d records, %v", codec, cut, len(got), err)
			}
		}
	}
}

// mixed has parts that compress and parts that do not, over many blocks of every codec.
func mixed(size int) []byte {
	b := make([]byte, size)
	rng := rand.New(rand.NewSource(1))
	for i := 0; i < size; i += 1000 {
		if i/1000%3 == 0 {
			rng.Read(b[i:min(i+1000, size)])
		}
	}
	return b
}

// Some records are larger than any buffer that is kept, and a small one behind them is as it should be.
func TestLargeRecordsInEveryCodec(t *testing.T) {
	for _, size := range []int{3 << 20, 2*maxPooledBytes + 1000, 1000} {
		value := mixed(size)
		plain := Build(unsequenced(), Record{Key: []byte("a"), Value: value}, Record{Key: []byte("b"), Value: value[:1000]})
		r := testRules()
		r.MaxInflatedBytes, r.MaxMessageBytes = 16<<20, 16<<20
		for _, codec := range allCodecs {
			raw := compressed(t, codec, plain)
			got, err := collect(raw, 16<<20)
			if err != nil || len(got) != 2 || !bytes.Equal(got[0].Value, value) || !bytes.Equal(got[1].Value, value[:1000]) {
				t.Errorf("%v, %d bytes: %d records, %v", codec, size, len(got), err)
			}
			if _, err := Validate(raw, r, testNowMs); err != nil {
				t.Errorf("%v, %d bytes: %v", codec, size, err)
			}
			kept, err := Filter(raw, 16<<20, -1, func(r Record) bool { return string(r.Key) == "a" })
			if err != nil {
				t.Errorf("%v, %d bytes: %v", codec, size, err)
			} else if got, err := collect(kept, 16<<20); err != nil || len(got) != 1 || !bytes.Equal(got[0].Value, value) {
				t.Errorf("%v, %d bytes: filtered to %d records, %v", codec, size, len(got), err)
			}
		}
	}
}

// No control record is anywhere near the limit; one that inflates to more is refused, not read.
func TestControlRecordsHaveALimit(t *testing.T) {
	for extra, want := range map[int]bool{-200: true, 0: false} {
		raw := compressed(t, Gzip, Build(BuildOptions{ProducerID: 1, BaseSequence: NoSequence, Transactional: true,
			Control: true},
			Record{Key: []byte{0, 0, 0, 1}, Value: make([]byte, maxControlBytes+extra)}))
		if _, isMarker, err := ParseMarker(raw); isMarker != want || want == (err != nil) {
			t.Errorf("%d bytes: marker %v, %v", maxControlBytes+extra, isMarker, err)
		}
	}
}

func TestValidatingALargeRecordTakesNoMemory(t *testing.T) {
	const size = 32 << 20
	plain := Build(unsequenced(), Record{Value: make([]byte, size)})
	r := testRules()
	r.MaxInflatedBytes, r.MaxMessageBytes = size+100, size
	for _, codec := range allCodecs[1:] {
		raw := compressed(t, codec, plain)
		if n := allocated(func() {
			if _, err := Validate(raw, r, testNowMs); err != nil {
				t.Errorf("%v: %v", codec, err)
			}
		}); n > 8<<20 {
			t.Errorf("%v: %d bytes allocated", codec, n)
		}
	}
}

// These decode to what Kafka would read, were they read: Kafka's own decoders refuse them.
func TestPayloadsThatKafkaRefusesAreRefused(t *testing.T) {
	record := recordBytes(append([]byte{0, 0, 0, 1, 24}, "abcdabcdabcd\x00"...)...)
	repeat := slices.Concat([]byte{byte(len(record)), byte(len(record)-10) << 2}, record[:len(record)-9],
		[]byte{1, 4, 1, 0, 0, 0})
	if plain, err := snappy.Decode(nil, repeat); err != nil || !bytes.Equal(plain, record) {
		t.Fatalf("the library reads %q, %v", plain, err)
	}
	if _, err := collect(ofBytes(Snappy, 1, repeat), 1<<20); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("snappy with a repeated offset: %v", err)
	}
	for window, want := range map[byte]error{17 << 3: nil, 17<<3 | 1: ErrInvalidRecord, 18 << 3: ErrInvalidRecord,
		31 << 3: ErrInvalidRecord} {
		frame := zstdFrame(window, zstdBlock(0, uint32(len(record)), true, record...))
		if _, err := collect(ofBytes(Zstd, 1, frame), 1<<20); !errors.Is(err, want) {
			t.Errorf("zstd window byte %02x: %v", window, err)
		}
	}
}

// A generous limit is no licence for what is only announced.
func TestZstdContentSizeIsNotTrusted(t *testing.T) {
	frame := append([]byte{0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0, 0, 0, 4}, zstdBlock(0, 5, true, 0, 0, 0, 0, 0)...) // 64 MiB
	if n := allocated(func() {
		if _, err := collect(ofBytes(Zstd, 1, frame), 1<<30); !errors.Is(err, ErrInvalidRecord) {
			t.Error(err)
		}
	}); n > 5<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

func TestXerialStreamsMayBeConcatenated(t *testing.T) {
	plain := plainBatch(2)
	first := deflated(t, Snappy, plain[HeaderSizeBytes:HeaderSizeBytes+5])
	second := deflated(t, Snappy, plain[HeaderSizeBytes+5:])
	if got, err := collect(ofBytes(Snappy, 2, slices.Concat(first, second, xerialHeader)), 1<<20); err != nil ||
		len(got) != 2 {
		t.Errorf("%d records, %v", len(got), err)
	}
	if got, err := collect(ofBytes(Snappy, 2, snappy.Encode(nil, plain[HeaderSizeBytes:])), 1<<20); err != nil ||
		len(got) != 2 {
		t.Errorf("a bare block: %d records, %v", len(got), err)
	}
	version0 := slices.Clone(first)
	version0[11] = 0
	if _, err := collect(ofBytes(Snappy, 2, slices.Concat(version0, second)), 1<<20); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("stream version 0: %v", err)
	}
}

// Valid blocks pass the walk whatever they are made of; it knows their size before they are inflated.
func TestSnappySizeOfRealBlocks(t *testing.T) {
	for _, plain := range [][]byte{nil, {1}, make([]byte, 300_000), mixed(200_000), mixed(61), mixed(5000)[1000:1100]} {
		if n, err := snappySize(snappy.Encode(nil, plain)); err != nil || n != int64(len(plain)) {
			t.Errorf("%d bytes: got %d, %v", len(plain), n, err)
		}
	}
}

func TestLZ4FramesAsKafkaTakesThem(t *testing.T) {
	plain := plainBatch(200)
	records := plain[HeaderSizeBytes:]
	block := make([]byte, lz4.CompressBlockBound(len(records)))
	n, err := lz4.CompressBlock(records, block, nil)
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	block = block[:n]
	sum := binary.LittleEndian.AppendUint32(nil, xxh32(block))
	size := binary.LittleEndian.AppendUint32(nil, uint32(n))
	head := func(flags byte) []byte { f := lz4Frame(flags, 0); return f[:len(f)-4] }
	end := make([]byte, 4)
	for name, c := range map[string]struct {
		frame []byte
		ok    bool
	}{
		"plain":                    {lz4Frame(0x60, 0, block), true},
		"content size":             {lz4Frame(0x60|lz4FlagContentSize, 77, block), true},
		"content checksum ignored": {append(lz4Frame(0x60|lz4FlagContentChecksum, 0, block), 1, 2, 3, 4), true},
		"block checksum":           {slices.Concat(head(0x60|lz4FlagBlockChecksum), size, block, sum, end), true},
		"wrong block checksum":     {slices.Concat(head(0x60|lz4FlagBlockChecksum), size, block, end, end), false},
		"dependent blocks":         {lz4Frame(0x40, 0, block), false},
		"version 2":                {lz4Frame(0xA0, 0, block), false},
		"reserved bit":             {lz4Frame(0x61, 0, block), false},
		"legacy frame":             {slices.Concat([]byte{0x02, 0x21, 0x4C, 0x18}, size, block), false},
		"skippable frame": {slices.Concat([]byte{0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0}, lz4Frame(0x60, 0, block)),
			false},
		"header alone":     {head(0x60), false},
		"descriptor alone": {head(0x60)[:6], false},
		"wrong header checksum": {append(append(head(0x60)[:6:6], ^head(0x60)[6]), lz4Frame(0x60, 0, block)[7:]...),
			false},
	} {
		got, err := collect(ofBytes(LZ4, 200, c.frame), 1<<20)
		if c.ok && (err != nil || len(got) != 200) || !c.ok && !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%s: %d records, %v", name, len(got), err)
		}
	}
	over := Build(unsequenced(), Record{Value: make([]byte, lz4BlockBytes)})[HeaderSizeBytes:]
	for code, want := range map[byte]error{4 << 4: ErrInvalidRecord, 5 << 4: nil} { // 64 and 256 KiB
		frame := []byte{0x04, 0x22, 0x4D, 0x18, 0x60, code}
		frame = append(frame, byte(xxh32(frame[4:])>>8))
		frame = binary.LittleEndian.AppendUint32(frame, uint32(len(over))|lz4Stored)
		if _, err := collect(ofBytes(LZ4, 1, slices.Concat(frame, over, end)), 1<<20); !errors.Is(err, want) {
			t.Errorf("block of %d bytes, maximum %02x: %v", len(over), code, err)
		}
	}
	small := new(lz4Inflater)
	if err := small.reset(lz4Frame(0x60, 0, block[:50]), 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := small.Read(make([]byte, 10)); cap(small.buf) > 50*lz4MaxRatio {
		t.Errorf("%d bytes for a block of 50, %v", cap(small.buf), err)
	}
	var written bytes.Buffer
	w := lz4.NewWriter(&written)
	if err := w.Apply(lz4.ChecksumOption(true), lz4.BlockChecksumOption(true),
		lz4.BlockSizeOption(lz4.Block256Kb)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(records); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := collect(ofBytes(LZ4, 200, written.Bytes()), 1<<20); err != nil || len(got) != 200 {
		t.Errorf("another writer's frame: %d records, %v", len(got), err)
	}
}

// References may reach as far back as the window that a frame announces, if there are bytes that far.
func TestZstdWindowsThatAreNeeded(t *testing.T) {
	far := make([]byte, 2<<20+96<<10)
	rand.New(rand.NewSource(2)).Read(far[:64<<10])
	copy(far[len(far)-64<<10:], far[:64<<10]) // 2 MiB and 32 KiB after the first
	plain := Build(unsequenced(), Record{Value: far})
	for name, options := range map[string][]zstd.EOption{
		"4 MiB":          {zstd.WithWindowSize(4 << 20), zstd.WithEncoderLevel(zstd.SpeedBetterCompression)},
		"64 MiB":         {zstd.WithWindowSize(64 << 20), zstd.WithEncoderLevel(zstd.SpeedBetterCompression)},
		"single segment": {zstd.WithSingleSegment(true)},
		"no checksum":    {zstd.WithEncoderCRC(false), zstd.WithWindowSize(1 << 20)},
	} {
		encoder, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderConcurrency(1))...)
		if err != nil {
			t.Fatal(err)
		}
		frame := encoder.EncodeAll(plain[HeaderSizeBytes:], nil)
		if name != "single segment" { // a stream, so that the frame says a window and no content size
			var out bytes.Buffer
			encoder.Reset(&out)
			if _, err := encoder.Write(plain[HeaderSizeBytes:]); err != nil {
				t.Fatal(err)
			}
			if err := encoder.Close(); err != nil {
				t.Fatal(err)
			}
			frame = out.Bytes()
		}
		raw := ofBytes(Zstd, 1, append(frame, encoder.EncodeAll(nil, nil)...))
		// For the test to be worth something, the end must really refer to the beginning.
		if far := name != "no checksum"; far != (len(frame) < 100<<10) {
			t.Errorf("%s: %d bytes", name, len(frame))
		}
		for _, limit := range []int{len(plain), 1 << 30} {
			got, err := collect(raw, limit)
			if err != nil || len(got) != 1 || !bytes.Equal(got[0].Value, far) {
				t.Errorf("%s: %d records, %v", name, len(got), err)
			}
		}
		if _, err := collect(raw, 2<<20); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: over the limit: %v", name, err)
		}
	}
}

func TestZstdFramesMayFollowEachOther(t *testing.T) {
	plain := plainBatch(2)
	skippable := []byte{0x5A, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 1, 2}
	first := deflated(t, Zstd, plain[HeaderSizeBytes:HeaderSizeBytes+5])
	second := deflated(t, Zstd, plain[HeaderSizeBytes+5:])
	if got, err := collect(ofBytes(Zstd, 2, slices.Concat(skippable, first, skippable, second, skippable)),
		1<<20); err != nil || len(got) != 2 {
		t.Errorf("%d records, %v", len(got), err)
	}
}

func TestXXH32(t *testing.T) {
	for in, want := range map[string]uint32{
		"": 0x02CC5D05, "a": 0x550D7456, "abc": 0x32D153FF,
		"Nobody inspects the spammish repetition": 0xE2293B2F,
	} {
		if got := xxh32([]byte(in)); got != want {
			t.Errorf("%q: %08x, want %08x", in, got, want)
		}
	}
}
