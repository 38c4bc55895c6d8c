package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
)

// The longest frame is served, one byte more closes the connection.
func TestLongestFrame(t *testing.T) {
	for name, limits := range map[string]Limits{"100 bytes": {MaxFrameBytes: 100}, "default": {}} {
		t.Run(name, func(t *testing.T) {
			longest := withDefaults(limits).MaxFrameBytes
			s := start(t, options{APIs: echoAPIs(), Limits: limits}, 0)
			c := s.dial()
			r := metadataRequest(12, "orders")
			payload := kafkatest.AppendRequest(nil, r, 5, c.ClientID)[prefixBytes:]
			payload = append(payload, make([]byte, longest+1-len(payload))...) // what follows the body is ignored
			for _, b := range [][]byte{binary.BigEndian.AppendUint32(nil, uint32(longest)), payload[:longest]} {
				if _, err := c.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Receive(r, 5); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(binary.BigEndian.AppendUint32(nil, uint32(len(payload)))); err != nil {
				t.Fatal(err)
			}
			if err := c.WaitClosed(); err != nil {
				t.Error(err)
			}
			s.wantClosed(badFrameLength, 1)
		})
	}
}

// Correlation IDs are the client's own: negative ones, the last one and the one behind it come back.
func TestEveryCorrelationIDComesBack(t *testing.T) {
	s := start(t, options{APIs: echoAPIs()}, 0)
	c := s.dial()
	ids := []int32{0, math.MaxInt32 - 1, math.MaxInt32, math.MinInt32, math.MinInt32 + 1, -1, 0, 1}
	r := metadataRequest(12, "orders")
	var b []byte
	for _, id := range ids {
		b = kafkatest.AppendRequest(b, r, id, c.ClientID)
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if _, err := c.Receive(r, id); err != nil {
			t.Fatal(err)
		}
	}
}

// A string of 32767 bytes arrives whole wherever it stands; one more is refused, where the form has room for it.
func TestLongestString(t *testing.T) {
	longest := strings.Repeat("s", maxStringBytes)
	var got []string
	apis := append(echoAPIs(), row{Key: 12, Min: 0, Max: 4, Handle: func(_ context.Context, r *Request) Reply {
		got = append(got, strings.Clone(r.ClientID), strings.Clone(r.Body.(*kmsg.HeartbeatRequest).Group))
		return empty(t.Context(), r)
	}})
	s := start(t, options{APIs: apis}, 0)
	c := s.dial()
	c.ClientID = &longest
	for _, version := range []int16{0, 4} { // classic and compact
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version, r.Group = version, longest
		if _, err := c.Request(r); err != nil {
			t.Fatal(err)
		}
	}
	for i, g := range got {
		if g != longest {
			t.Errorf("string %d arrived with %d bytes", i, len(g))
		}
	}
	if len(got) != 4 {
		t.Errorf("%d strings arrived", len(got))
	}
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group = 4, longest+"s"
	if _, err := c.Send(r); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitClosed(); err != nil {
		t.Error(err)
	}
	s.wantClosed(badBody, 1)
}

// The most elements that the decoding budget lets pass, in each API: they stay within it, and one more is refused.
func TestDecodingBudgetIsMetExactly(t *testing.T) {
	met := 0
	for _, key := range slices.Sorted(maps.Keys(schemas())) {
		s := schemas()[key]
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		for _, v := range []int16{s.min, min(s.max, kmsg.RequestForKey(key).MaxVersion())} {
			p := s.plan(v)
			for depth := 1; depth <= 2; depth++ {
				encode := func(n int) []byte {
					req := kmsg.RequestForKey(key)
					widen(reflect.ValueOf(req).Elem(), n, depth)
					req.SetVersion(v)
					return req.AppendTo(nil)
				}
				passes := func(n int) bool {
					body := encode(n)
					_, err := check(p, body, len(body))
					if err != nil && !errors.Is(err, errDecodeBudget) {
						t.Fatalf("%s v%d: %d elements: %v", kmsg.NameForKey(key), v, n, err)
					}
					return err == nil
				}
				most := 4096
				if passes(most) {
					continue // it takes no more memory than it has bytes
				}
				for lo := 0; lo+1 < most; { // passes(lo) and not passes(most)
					if mid := (lo + most) / 2; passes(mid) {
						lo = mid
					} else {
						most = mid
					}
				}
				met++
				checkAllocation(t, key, v, p, encode(most-1))
			}
		}
	}
	if met < 20 {
		t.Errorf("the budget was met %d times only", met)
	}
}

// What is estimated for an array is no less than what the allocator takes for it.
func TestSizeClassIsNoLessThanTheAllocators(t *testing.T) {
	for n := 1; n < 5*largeObjectBytes; n += 1 + n/1000 {
		got := cap(append([]byte(nil), make([]byte, n)...))
		if n%8 == 0 {
			got = max(got, 8*cap(append([]*byte(nil), make([]*byte, n/8)...)))
		}
		if sizeClass(n) < got {
			t.Fatalf("%d bytes take %d, the estimate is %d", n, got, sizeClass(n))
		}
	}
}

// A buffer has room for what was asked, whatever its class and whoever had it before, and is nobody else's.
func TestBuffersOfEveryClass(t *testing.T) {
	var sizes []int
	for bits := minPooledBits - 2; bits <= maxPooledBits; bits++ {
		sizes = append(sizes, 1<<bits-1, 1<<bits, 1<<bits+1)
	}
	for round := range 2 {
		var held [][]byte
		for _, n := range append([]int{0, 1}, sizes...) {
			b := getBuffer(n)
			if len(b) != 0 || cap(b) < n {
				t.Fatalf("round %d: a buffer for %d bytes has %d, and room for %d", round, n, len(b), cap(b))
			}
			for _, other := range held {
				if cap(b) > 0 && &b[:1][0] == &other[:1][0] {
					t.Fatalf("round %d: the buffer for %d bytes is somebody else's", round, n)
				}
			}
			held = append(held, b)
		}
		for i, b := range held {
			if round == 0 && cap(b) < 1<<20 {
				b = append(b[:cap(b)], make([]byte, i+1)...) // grown by append, to no power of two
			}
			putBuffer(b)
		}
	}
	if usedBuffer(1<<maxPooledBits+1) != nil {
		t.Error("a buffer beyond the largest class was kept")
	}
}

// Every API that the table has room for can be served; the next key has no place.
func TestKeysBeyondTheTable(t *testing.T) {
	for key := range schemas() {
		if key > maxKey {
			t.Errorf("API %d does not fit the table", key)
		}
	}
	s := mustServer(t, options{APIs: echoAPIs()})
	s.apis[maxKey] = s.apis[3]
	for key, want := range map[int16]bool{-1: false, 3: true, maxKey: true, maxKey + 1: false, math.MaxInt16: false,
		math.MinInt16: false} {
		if got := s.api(key) != nil; got != want {
			t.Errorf("key %d: %v", key, got)
		}
	}
}

// Unknown tags beside known ones, at both lengths of the number of tags that stays.
func TestKnownTagsAreCountedAgain(t *testing.T) {
	p := &plan{flexible: true, minBytes: 1}
	for tag := range uint32(200) {
		p.tags = append(p.tags, tagOp{tag: 2 * tag, op: op{kind: opSkip, bytes: 1}})
	}
	for _, known := range []int{0, 1, 127, 128, 129, 200} {
		for _, unknown := range []int{0, 1, 127, 128, 200} {
			var all, kept []byte
			all = binary.AppendUvarint(all, uint64(known+unknown))
			kept = binary.AppendUvarint(kept, uint64(known))
			for i := range max(known, unknown) {
				if i < known {
					field := append(binary.AppendUvarint(nil, uint64(2*i)), 1, byte(i))
					all, kept = append(all, field...), append(kept, field...)
				}
				if i < unknown {
					all = append(binary.AppendUvarint(all, uint64(2*i+1)), 2, 0xee, 0xee)
				}
			}
			n, err := check(p, all, len(all))
			if err != nil || !slices.Equal(all[:n], kept) {
				t.Errorf("%d known, %d unknown: %v, % x", known, unknown, err, all[:n])
			}
		}
	}
}

// What an answer keeps is decided by the last one's size, and no answer is changed by that.
func TestAnswersOfVaryingSizes(t *testing.T) {
	s := start(t, options{APIs: echoAPIs()}, 0)
	c := s.dial()
	for _, n := range []int{0, 1, 300, 1, 20_000, 3, 20_000, 0} {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprint("topic-", i)
		}
		resp, err := c.Request(metadataRequest(12, names...))
		if err != nil {
			t.Fatal(err)
		}
		got := resp.(*kmsg.MetadataResponse).Topics
		if len(got) != n {
			t.Fatalf("%d topics, want %d", len(got), n)
		}
		for i := range got {
			if *got[i].Topic != names[i] {
				t.Fatalf("topic %d is %s", i, *got[i].Topic)
			}
		}
	}
}
