package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/invariant"
)

func fetchRequest(version int16, topics, partitions int) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.SetVersion(version)
	for i := range topics {
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = fmt.Sprintf("topic-%d", i), [16]byte{byte(i), 1}
		for j := range partitions {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition = int32(j)
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

func produceRequest(version int16) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.SetVersion(version)
	r.Acks = -1
	t := kmsg.NewProduceRequestTopic()
	t.Topic = "orders"
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = make([]byte, 100)
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

// mustPlan returns the plan of a key and version.
func mustPlan(t testing.TB, key, version int16) *plan {
	t.Helper()
	s := schemas()[key]
	if s == nil {
		t.Fatalf("no schema for key %d", key)
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	return s.plan(version)
}

// eachVersion calls fn for every schema and version.
func eachVersion(t *testing.T, fn func(key, version int16, p *plan)) {
	for _, key := range slices.Sorted(maps.Keys(schemas())) {
		s := schemas()[key]
		if err := s.load(); err != nil {
			t.Fatal(err)
		}
		for v := s.min; v <= s.max; v++ {
			if kmsg.RequestForKey(key).MaxVersion() < v {
				continue // InitProducerId 6, which Kafka 4.3 does not serve either
			}
			fn(key, v, s.plan(v))
		}
	}
}

func TestSchemasParseAndAgreeWithKmsg(t *testing.T) {
	if n := len(schemas()); n < 75 {
		t.Errorf("%d schemas", n)
	}
	eachVersion(t, func(key, v int16, p *plan) {
		r := kmsg.RequestForKey(key)
		r.SetVersion(v)
		if r.IsFlexible() != p.flexible {
			t.Errorf("%s v%d: flexible is %v in the schema", kmsg.NameForKey(key), v, p.flexible)
		}
	})
}

// filler sets every field of a kmsg request to something random that is legal.
type filler struct {
	r      *rand.Rand
	spread int // most elements in an array
	skip   []string
}

// laterTags are tagged fields of Fetch that kmsg writes in every flexible version, and Kafka only from
// v15, v17 and v18: before, the walker cuts them out.
var laterTags = []string{"ReplicaState", "ReplicaDirectoryID", "HighWatermark"}

func (f *filler) fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" && name != "UnknownTags" && !slices.Contains(f.skip, name) {
				f.fill(v.Field(i), depth)
			}
		}
	case reflect.Slice:
		n := f.r.IntN(f.spread + 1)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(v.Index(i), depth+1)
		}
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.Struct || f.r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), depth)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("%0*d", 3+f.r.IntN(9), f.r.IntN(1000)))
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(f.r.IntN(256)))
		}
	case reflect.Bool:
		v.SetBool(f.r.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat(f.r.Float64())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(uint64(f.r.IntN(256)))
	default:
		v.SetInt(int64(f.r.IntN(256) - 128))
	}
}

func randomRequest(r *rand.Rand, key, version int16, spread int) kmsg.Request {
	req := kmsg.RequestForKey(key)
	f := &filler{r: r, spread: spread}
	if key == 1 && version < 18 {
		f.skip = laterTags
	}
	f.fill(reflect.ValueOf(req).Elem(), 0)
	req.SetVersion(version)
	return req
}

// Whatever kmsg encodes, the walker accepts to the last byte, and kmsg decodes back.
func TestWalkerAcceptsEveryEncodedRequest(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	eachVersion(t, func(key, v int16, p *plan) {
		for i := range 30 {
			body := randomRequest(rnd, key, v, i/5).AppendTo(nil)
			if len(body) < p.minBytes {
				t.Fatalf("%s v%d: %d bytes, the schema says at least %d", kmsg.NameForKey(key), v, len(body), p.minBytes)
			}
			n, err := check(p, slices.Clone(body), len(body))
			if err != nil || n != len(body) {
				t.Fatalf("%s v%d: %d of %d bytes, %v: %x", kmsg.NameForKey(key), v, n, len(body), err, body)
			}
			// One byte less is not a request.
			if n, err := check(p, slices.Clone(body[:len(body)-min(len(body), 1)]), len(body)); err == nil && len(body) > 0 {
				t.Fatalf("%s v%d: accepted when cut, %d of %d bytes", kmsg.NameForKey(key), v, n, len(body))
			}
		}
	})
}

// The sizes in memory that budgets are computed from are those of kmsg's structs.
func TestPlanKnowsKmsgsSizes(t *testing.T) {
	eachVersion(t, func(key, v int16, p *plan) {
		req := reflect.TypeOf(kmsg.RequestForKey(key)).Elem()
		compareSizes(t, fmt.Sprintf("%s v%d", kmsg.NameForKey(key), v), req, p)
	})
}

// compareSizes finds, for each array of structs in the plan, a kmsg type of exactly its size.
func compareSizes(t *testing.T, where string, typ reflect.Type, p *plan) {
	sizes := make(map[int]bool)
	var collect func(reflect.Type)
	collect = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Slice, reflect.Pointer:
			if typ.Elem().Kind() == reflect.Struct {
				sizes[int(typ.Elem().Size())] = true
			}
			collect(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				if typ.Field(i).Name != "UnknownTags" {
					collect(typ.Field(i).Type)
				}
			}
		}
	}
	collect(typ)
	var walk func(*plan)
	walk = func(p *plan) {
		for _, o := range p.ops {
			if o.elem != nil {
				if o.kind != opStruct && !sizes[o.goBytes] {
					t.Errorf("%s: no struct of %d bytes in kmsg, there are %v", where, o.goBytes, slices.Sorted(maps.Keys(sizes)))
				}
				walk(o.elem)
			}
		}
	}
	walk(p)
}

// B6-B9, B11: what a body must not be.
func TestWalkerRefuses(t *testing.T) {
	u := binary.AppendUvarint
	str := func(s string) []byte { return append(u(nil, uint64(len(s)+1)), s...) }
	cat := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	for _, tc := range []struct {
		name         string
		key, version int16
		body         []byte
		want         error
	}{
		{"empty", 3, 0, nil, errShort},
		{"B6 string beyond the frame", 12, 0, []byte{0, 9, 'a'}, errShort},
		{"B6 string of length -2", 12, 0, []byte{0xff, 0xfe, 0, 0}, errLength},
		{"B6 bytes of length -2", 36, 0, []byte{0xff, 0xff, 0xff, 0xfe}, errLength},
		{"B6 array of length -2", 3, 0, []byte{0xff, 0xff, 0xff, 0xfe}, errLength},
		{"B6 records beyond the frame", 0, 3, []byte{0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0, 0,
			0, 0x7f, 0xff, 0xff, 0xff}, errShort},
		{"B6 compact string beyond the frame", 12, 4, []byte{10, 'a'}, errShort},
		{"B6 compact string over 32767", 12, 4, cat(u(nil, 32769), make([]byte, 40000)), errLength},
		{"B6 varint of six bytes", 12, 4, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0}, errVarint},
		{"B6 varint that overflows", 12, 4, []byte{0xff, 0xff, 0xff, 0xff, 0x1f}, errVarint},
		{"B6 varint without end", 12, 4, []byte{0x80, 0x80}, errShort},
		{"B7 array of 2^31-1", 3, 1, []byte{0x7f, 0xff, 0xff, 0xff, 0, 0}, errCount},
		{"B7 compact array of 2^32-2", 3, 12, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0}, errCount},
		{"B7 as many elements as bytes", 3, 12, cat(u(nil, 61), make([]byte, 60)), errCount},
		{"B8 too many unknown tags", 3, 12, cat([]byte{1, 1, 0}, appendTags(nil, 1001)), errTagCount},
		{"B8 count of tags without tags", 3, 12, []byte{1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, errShort},
		{"B9 duplicate tag", 3, 12, []byte{1, 1, 0, 2, 5, 0, 5, 0}, errTagOrder},
		{"B9 tags in falling order", 3, 12, []byte{1, 1, 0, 2, 5, 0, 4, 0}, errTagOrder},
		{"B9 tag beyond the frame", 3, 12, []byte{1, 1, 0, 1, 5, 9, 0}, errTagSize},
		{"B9 known tag longer than its content", 1, 12, cat(fetchBody12(), []byte{1, 0, 3, 2, 'c', 'x'}), errTagSize},
		{"B9 known tag shorter than its content", 1, 12, cat(fetchBody12(), []byte{1, 0, 2, 3, 'c', 'x'}), errTagSize},
		{"B11 null string", 12, 0, []byte{0xff, 0xff}, errNull},
		{"B11 null compact string", 12, 4, []byte{0}, errNull},
		{"B11 null array", 3, 0, []byte{0xff, 0xff, 0xff, 0xff}, errNull},
		{"B11 null bytes", 36, 2, []byte{0, 0}, errNull},
		{"B11 null name in v9", 3, 9, []byte{2, 0, 0, 1, 1, 1, 0}, errNull},
		{"more elements than are allowed", 20, 4, cat(u(nil, 1_000_002), slices.Repeat([]byte{1}, 1_000_001),
			make([]byte, 5)), errCount},
		{"B7 decoding would explode", 3, 1, cat([]byte{0, 1, 0, 0}, make([]byte, 2*65536)), errDecodeBudget},
		{"B7 decoding strings would explode", 15, 5, cat(u(nil, 200001), slices.Repeat(str(""), 200000), []byte{0, 0}),
			errDecodeBudget},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := check(mustPlan(t, tc.key, tc.version), tc.body, len(tc.body)); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// Every negative length of what may be null is null.
func TestNegativeLengthsAreNull(t *testing.T) {
	for _, tc := range []struct {
		name         string
		key, version int16
		body         []byte
	}{
		{"string", 22, 0, []byte{0xff, 0xfe, 0, 0, 0, 1}},
		{"array", 3, 1, []byte{0xff, 0xff, 0xff, 0xfe}},
		{"array, the least", 3, 1, []byte{0x80, 0, 0, 0}},
		{"records", 0, 3, []byte{0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff,
			0xff, 0xfe}},
		{"struct", 75, 0, []byte{1, 0, 0, 7, 0xd0, 0xfe, 0}},
		{"struct, the least", 75, 0, []byte{1, 0, 0, 7, 0xd0, 0x80, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if n, err := check(mustPlan(t, tc.key, tc.version), tc.body, len(tc.body)); err != nil || n != len(tc.body) {
				t.Fatalf("%d bytes, %v", n, err)
			}
			r := kmsg.RequestForKey(tc.key)
			r.SetVersion(tc.version)
			if err := r.ReadFrom(tc.body); err != nil {
				t.Fatal(err)
			}
			switch r := r.(type) {
			case *kmsg.InitProducerIDRequest:
				if r.TransactionalID != nil {
					t.Errorf("%q", *r.TransactionalID)
				}
			case *kmsg.MetadataRequest:
				if r.Topics != nil {
					t.Errorf("%v", r.Topics)
				}
			case *kmsg.ProduceRequest:
				if got := r.Topics[0].Partitions[0].Records; got != nil {
					t.Errorf("%v", got)
				}
			case *kmsg.DescribeTopicPartitionsRequest:
				if r.Cursor != nil {
					t.Errorf("%+v", r.Cursor)
				}
			}
		})
	}
}

// fetchBody12 is an empty Fetch v12 up to its tag buffer.
func fetchBody12() []byte {
	b := fetchRequest(12, 0, 0).AppendTo(nil)
	return b[:len(b)-1]
}

// B8: unknown tagged fields are cut out at every level, the known ones and all other content stay.
func TestUnknownTagsAreCutOut(t *testing.T) {
	r := fetchRequest(12, 2, 3)
	r.ClusterID = kmsg.StringPtr("cluster") // known, tag 0
	r.Topics[1].Partitions[2].FetchOffset = 77
	want := r.AppendTo(nil)
	tag := func(tags *kmsg.Tags, n int) {
		for i := range n {
			tags.Set(uint32(100+i), make([]byte, i%7))
		}
	}
	tag(&r.UnknownTags, 500)
	tag(&r.Topics[0].UnknownTags, 1)
	tag(&r.Topics[1].UnknownTags, 200)
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			tag(&r.Topics[i].Partitions[j].UnknownTags, i+j)
		}
	}
	body := r.AppendTo(nil)
	n, err := check(mustPlan(t, 1, 12), body, len(body))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(body[:n], want) {
		t.Errorf("\n got %x\nwant %x", body[:n], want)
	}
}

// A tag that a version does not have yet is unknown in it, and skipped like any other.
func TestTagOfALaterVersionIsUnknown(t *testing.T) {
	body := slices.Concat(fetchBody12(), []byte{1, 1, 2, 0xff, 0xff}) // ReplicaState is of v15
	n, err := check(mustPlan(t, 1, 12), body, len(body))
	if err != nil {
		t.Fatal(err)
	}
	if want := append(fetchBody12(), 0); !slices.Equal(body[:n], want) {
		t.Errorf("\n got %x\nwant %x", body[:n], want)
	}
	if _, err := check(mustPlan(t, 1, 15), slices.Concat(fetchBody12()[4:], []byte{1, 1, 2, 0xff, 0xff}),
		100); !errors.Is(err, errTagSize) {
		t.Errorf("in v15 the tag is known: %v", err)
	}
}

// Large requests that clients do send pass the decoding budget.
func TestLargeLegalRequestsPass(t *testing.T) {
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("t%05d", i)
	}
	commit := kmsg.NewPtrOffsetCommitRequest()
	ct := kmsg.NewOffsetCommitRequestTopic()
	ct.Partitions = make([]kmsg.OffsetCommitRequestTopicPartition, 50_000)
	commit.Topics = append(commit.Topics, ct)
	create := kmsg.NewPtrCreateTopicsRequest()
	for _, n := range names[:10_000] {
		ct := kmsg.NewCreateTopicsRequestTopic()
		ct.Topic = n
		create.Topics = append(create.Topics, ct)
	}
	for _, tc := range []struct {
		name     string
		req      kmsg.Request
		min, max int16
	}{
		{"metadata of 100,000 topics", metadataRequest(0, names...), 0, 13},
		{"fetch of 10,000 partitions", fetchRequest(0, 10, 1000), 4, 18},
		{"fetch of 10,000 topics", fetchRequest(0, 10_000, 1), 4, 18},
		{"offset commit of 50,000 partitions", commit, 2, 10},
		{"create 10,000 topics", create, 2, 7},
		{"produce", produceRequest(0), 3, 13},
	} {
		for v := tc.min; v <= tc.max; v++ {
			tc.req.SetVersion(v)
			body := tc.req.AppendTo(nil)
			if n, err := check(mustPlan(t, tc.req.Key(), v), body, len(body)); err != nil || n != len(body) {
				t.Errorf("%s v%d: %v", tc.name, v, err)
			}
		}
	}
}

// allocatedBy measures what f allocates.
func allocatedBy(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// P30: decoding allocates at most 8 bytes for each of the frame and a constant, for the worst requests
// that the walker lets pass: as many elements as the budget allows.
func TestDecodingStaysWithinItsBudget(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	eachVersion(t, func(key, v int16, p *plan) {
		for _, spread := range []int{3, 12} {
			body := randomRequest(rnd, key, v, spread).AppendTo(nil)
			if len(body) > 1<<20 {
				continue
			}
			checkAllocation(t, key, v, p, body)
		}
		checkAllocation(t, key, v, p, make([]byte, 100_000))
	})
}

// checkAllocation decodes a body if it passes, and compares what that takes with the budget.
func checkAllocation(t testing.TB, key, version int16, p *plan, body []byte) {
	t.Helper()
	n, err := check(p, body, len(body))
	if err != nil {
		return
	}
	limit := decodeFactor*len(body) + decodeSlackBytes
	if invariant.Enabled {
		limit *= 2 // the race detector makes append(a, make(…)...) allocate twice
	}
	used := limit + 1
	for tries := 0; used > limit && tries < 3; tries++ { // others in this process allocate, too
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		used = allocatedBy(func() { err = req.(kmsg.UnsafeReadFrom).UnsafeReadFrom(body[:n]) })
		if err != nil {
			t.Fatalf("%s v%d: the walker accepts, kmsg does not: %v: %x", kmsg.NameForKey(key), version, err,
				body[:min(n, 200)])
		}
	}
	if used > limit {
		t.Fatalf("%s v%d: decoding %d bytes allocated %d, limit %d", kmsg.NameForKey(key), version, len(body), used, limit)
	}
}

func TestWalkingAllocatesNothing(t *testing.T) {
	p := mustPlan(t, 1, 12)
	r := fetchRequest(12, 10, 10)
	r.Topics[3].UnknownTags.Set(9, []byte("x"))
	body := r.AppendTo(nil)
	scratch := make([]byte, len(body))
	if n := testing.AllocsPerRun(100, func() {
		copy(scratch, body)
		if _, err := check(p, scratch, len(scratch)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
