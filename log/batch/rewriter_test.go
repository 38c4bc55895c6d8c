package batch

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// encoderLevels are levels in Kafka's numbers, some that their encoders treat differently.
func encoderLevels(codec Codec) []int {
	switch codec {
	case Gzip:
		return []int{-1, 1, 4, 7}
	case LZ4:
		return []int{0, 1, 17}
	case Zstd:
		return []int{-131072, 3, 6, 22}
	}
	return []int{0}
}

// An encoder that was used before, whatever became of that, makes of the same bytes what a new one does.
func TestReusedEncodersEncodeAsNewOnes(t *testing.T) {
	var text []byte
	for i := range 5000 {
		text = fmt.Appendf(text, `{"customer":"%04d","state":"paid"},`, i*7919%10_000)
	}
	payloads := map[string][]byte{
		"nothing": nil, "a byte": {7}, "text": text, "a block of text": text[:lz4BlockBytes],
		"other text": bytes.ToUpper(text[:40_000]),
		"noise":      mixed(70_000), "noise after text": append(bytes.Clone(text[:40_000]), mixed(90_000)...),
		"text again": text[:1000],
	}
	tooMuch := mixed(140_000)
	for _, codec := range allCodecs {
		for _, level := range encoderLevels(codec) {
			used := mustDeflater(t, codec, level)
			want := map[string][]byte{}
			for name, plain := range payloads {
				want[name] = deflatedBy(t, mustDeflater(t, codec, level), plain)
			}
			for _, disturb := range []func(){
				func() {},
				func() { // left in the middle
					used.Reset(new(bytes.Buffer))
					_, _ = used.Write(text[:140_001])
				},
				func() { // its output failed
					used.Reset(&sealedBatch{max: 10})
					_, err := used.Write(tooMuch)
					if err = errors.Join(err, used.Close()); !errors.Is(err, ErrTooLarge) {
						t.Errorf("%v, level %d: writing too much: %v", codec, level, err)
					}
				},
			} {
				for name, plain := range payloads {
					disturb()
					if got := deflatedBy(t, used, plain); !bytes.Equal(got, want[name]) {
						t.Errorf("%v, level %d: %s: %d bytes, a new encoder makes other %d", codec, level, name, len(got),
							len(want[name]))
					}
				}
			}
		}
	}
}

func mustDeflater(t testing.TB, codec Codec, level int) deflater {
	t.Helper()
	d, err := newDeflater(codec, encoderLevel(codec, level))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func deflatedBy(t testing.TB, d deflater, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	d.Reset(&out)
	for len(plain) > 0 { // in pieces, as records come
		n := min(len(plain), 777)
		if _, err := d.Write(plain[:n]); err != nil {
			t.Fatal(err)
		}
		plain = plain[n:]
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What one call returned stays as it is when the next calls use the same encoder.
func TestBatchesDoNotShareMemory(t *testing.T) {
	all := func(Record) bool { return true }
	for _, codec := range allCodecs {
		var made, copies [][]byte
		for i := range 20 {
			raw := compressed(t, codec, Build(unsequenced(), Record{Key: fmt.Append(nil, i), Value: mixed(100 * i)}))
			out, err := Filter(raw, 1<<20, -1, all)
			if err != nil {
				t.Fatal(err)
			}
			clear(raw) // neither does the result need what it was made of
			made, copies = append(made, out), append(copies, bytes.Clone(out))
		}
		for i, raw := range made {
			if !bytes.Equal(raw, copies[i]) {
				t.Errorf("%v: batch %d was overwritten", codec, i)
			}
			if records := mustCollect(t, raw); len(records) != 1 || string(records[0].Key) != fmt.Sprint(i) ||
				!bytes.Equal(records[0].Value, mixed(100*i)) {
				t.Errorf("%v: batch %d has other records", codec, i)
			}
		}
	}
}

func TestIdleRewritersHoldNoBatch(t *testing.T) {
	for _, codec := range allCodecs {
		for _, size := range []int{10, windowBytes - 1000, windowBytes + 1000} {
			w, err := newRewriter(codec, 0, 1<<20, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.add(&Record{Value: make([]byte, size)}); err != nil {
				t.Fatal(err)
			}
			w.release()
			if w.out.raw != nil || cap(w.record) > windowBytes {
				t.Errorf("%v: holds a batch of %d bytes and a record of %d", codec, cap(w.out.raw), cap(w.record))
			}
		}
	}
}

// Side by side, encoders of all codecs make what each makes alone.
func TestFilterSideBySide(t *testing.T) {
	odd := func(r Record) bool { return r.OffsetDelta%2 == 1 }
	var all sync.WaitGroup
	defer all.Wait()
	for _, codec := range allCodecs {
		for worker := range 3 {
			raw := compressed(t, codec, plainBatch(200*(worker+1)))
			want, err := Filter(raw, 1<<20, -1, odd)
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				for range 30 {
					if got, err := Filter(raw, 1<<20, -1, odd); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%v: other bytes than alone, %v", codec, err)
						return
					}
				}
			})
		}
	}
}

// Filtering a small batch costs far less memory than an encoder has. Under the race detector a pool loses
// a quarter of what it is given.
func TestFilterReusesEncoders(t *testing.T) {
	const rounds = 64
	for _, codec := range []Codec{Gzip, LZ4, Zstd} {
		raw := compressed(t, codec, plainBatch(3))
		fresh := allocatedBytes(func() {
			w := &rewriter{deflate: mustDeflater(t, codec, 0)}
			w.deflate.Reset(&sealedBatch{max: 1 << 20})
			if err := errors.Join(w.add(&Record{}), w.deflate.Close()); err != nil {
				t.Fatal(err)
			}
		})
		pooled := allocatedBytes(func() {
			for range rounds {
				if _, err := Filter(raw, 1<<20, -1, func(Record) bool { return true }); err != nil {
					t.Fatal(err)
				}
			}
		}) / rounds
		if fresh < 100<<10 || pooled > fresh*6/10 {
			t.Errorf("%v: %d bytes are allocated for a batch, %d with an encoder of its own", codec, pooled, fresh)
		}
	}
}

func allocatedBytes(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Topics of different levels do not get each other's encoders.
func TestPrepareCompressesAtTheTopicsLevel(t *testing.T) {
	plain := keyed()
	for range 2 { // new encoders first
		for _, codec := range allCodecs[1:] {
			for _, level := range encoderLevels(codec) {
				r := testRules()
				r.Recompress, r.Codec, r.Level = true, codec, level
				raw, _, err := Prepare(bytes.Clone(plain), r, testNowMs)
				if err != nil {
					t.Fatal(err)
				}
				if want := deflatedBy(t, mustDeflater(t, codec, level),
					plain[HeaderSizeBytes:]); !bytes.Equal(raw[HeaderSizeBytes:], want) {
					t.Errorf("%v: %d bytes, at level %d it should be other %d", codec, len(raw)-HeaderSizeBytes, level, len(want))
				}
			}
		}
	}
}
