package quotas

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"once/meta"
)

func open(t *testing.T, path string) (*Quotas, meta.Store) {
	t.Helper()
	store, err := meta.Open(path, meta.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	q, err := Open(store, Config{Samples: 11, Window: time.Second}, Config{Samples: 11, Window: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return q, store
}

func name(s string) *string { return &s }

func set(t *testing.T, q *Quotas, e Entity, quota string, value float64) {
	t.Helper()
	if err := q.Alter(e, []Change{{Name: quota, Value: value}}, false); err != nil {
		t.Fatal(err)
	}
}

func TestQuotasAreThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	q, store := open(t, path)
	set(t, q, Entity{User: name("u"), ClientID: nil}, ProducerByteRate, 5)
	set(t, q, Entity{IP: name("1.2.3.4")}, ConnectionCreationRate, 7)
	store.Close()
	q, _ = open(t, path)
	if found := q.Find([]Match{{Type: User, Name: "u"}}, false); len(found) != 1 ||
		found[0].Values[ProducerByteRate] != 5 {
		t.Errorf("found %v", found)
	}
	if err := q.Alter(Entity{IP: name("1.2.3.4")}, []Change{{Name: ConnectionCreationRate, Remove: true}},
		false); err != nil {
		t.Fatal(err)
	}
	if err := q.Alter(Entity{User: name("u"), ClientID: nil}, []Change{{Name: ProducerByteRate, Remove: true}},
		false); err != nil {
		t.Fatal(err)
	}
	if q.Active() {
		t.Error("quotas are left")
	}
}

// The first quota in Kafka's order holds, and a rate is measured for those whom the quota tells apart.
func TestTheMostSpecificQuotaHolds(t *testing.T) {
	q, _ := open(t, filepath.Join(t.TempDir(), "meta.db"))
	for i, e := range []Entity{
		{ClientID: nil}, {ClientID: name("c")}, {User: nil}, {User: nil, ClientID: nil}, {User: nil, ClientID: name("c")},
		{User: name("u")}, {User: name("u"), ClientID: nil}, {User: name("u"), ClientID: name("c")},
	} {
		set(t, q, e, ProducerByteRate, float64(i+1))
		_, hasUser := e[User]
		_, hasClient := e[ClientID]
		limit, key, ok := q.bound(ProducerByteRate, "u", "c")
		if !ok || limit != float64(i+1) || (key.user == "u") != hasUser || (key.clientID == "c") != hasClient {
			t.Errorf("%q: limit %v, key %+v", e.key(), limit, key)
		}
	}
	if _, _, ok := q.bound(ConsumerByteRate, "u", "c"); ok {
		t.Error("there is no quota for consumers")
	}
}

// Kafka's numbers: 10,000 bytes at once with a quota of 500 a second are a rate of 1,000 over ten windows, twice as
// much as allowed.
func TestPausesAreKafkas(t *testing.T) {
	q, _ := open(t, filepath.Join(t.TempDir(), "meta.db"))
	set(t, q, Entity{ClientID: name("c")}, ProducerByteRate, 500)
	start := time.UnixMilli(1_000_000)
	for _, c := range []struct {
		after  time.Duration
		amount float64
		want   time.Duration
	}{
		{0, 5_000, 0},
		{0, 5_000, 10 * time.Second},
		{500 * time.Millisecond, 0, 9_500 * time.Millisecond},
		{10500 * time.Millisecond, 0, 9_500 * time.Millisecond},
		{11 * time.Second, 0, 0}, // the first sample is too old
	} {
		if got := q.Throttle(ProducerByteRate, "u", "c", c.amount, start.Add(c.after)); got != c.want {
			t.Errorf("after %v: %v, want %v", c.after, got, c.want)
		}
	}
	set(t, q, Entity{User: nil}, RequestPercentage, 1)
	if got := q.Throttle(RequestPercentage, "u", "c", 1e6, start); got != time.Second {
		t.Errorf("a pause for request time is %v, want one window", got)
	}
}

// What is kept back does not count. What is more than all windows allow passes alone.
func TestAmountsAreKeptBack(t *testing.T) {
	q, _ := open(t, filepath.Join(t.TempDir(), "meta.db"))
	if room := q.Room(ConsumerByteRate, "u", "c"); !math.IsInf(room, 1) {
		t.Errorf("room for %v without a quota", room)
	}
	set(t, q, Entity{ClientID: name("c")}, ConsumerByteRate, 500)
	if room := q.Room(ConsumerByteRate, "u", "c"); room != 5_000 {
		t.Errorf("room for %v", room)
	}
	start := time.UnixMilli(1_000_000)
	for i, c := range []struct {
		after    time.Duration
		amount   float64
		pause    time.Duration
		admitted bool
	}{
		{0, 3_000, 0, true},
		{0, 7_000, 10 * time.Second, false},
		{0, 2_000, 0, true},
		{5 * time.Second, 5_000, 10 * time.Second, false},
		{11 * time.Second, 10_000, 10 * time.Second, true},
		{11 * time.Second, 1, 10_002 * time.Millisecond, false},
	} {
		pause, admitted := q.Admit(ConsumerByteRate, "u", "c", c.amount, start.Add(c.after))
		if pause != c.pause || admitted != c.admitted {
			t.Errorf("%d: %v %v", i, pause, admitted)
		}
	}
}

// A bucket of 11 seconds at 10 a second may be overdrawn once, and is filled again.
func TestChangesTakeFromABucket(t *testing.T) {
	q, _ := open(t, filepath.Join(t.TempDir(), "meta.db"))
	set(t, q, Entity{User: name("u")}, ControllerMutationRate, 10)
	start := time.UnixMilli(1_000_000)
	for _, c := range []struct {
		after   time.Duration
		permits float64
		strict  bool
		pause   time.Duration
		refused bool
	}{
		{0, 100, true, 0, false},
		{0, 30, true, 2 * time.Second, false},
		{time.Second, 1, true, time.Second, true},
		{time.Second, 1, false, 1100 * time.Millisecond, false},
		{2100 * time.Millisecond, 1, true, 100 * time.Millisecond, false},
		{time.Hour, 110, true, 0, false},
	} {
		pause, refused := q.Mutate("u", "c", c.permits, c.strict, start.Add(c.after))
		if pause != c.pause || refused != c.refused {
			t.Errorf("after %v: %v %v, want %v %v", c.after, pause, refused, c.pause, c.refused)
		}
	}
}

func TestQuotasAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	q, store := open(t, path)
	set(t, q, Entity{ClientID: nil}, ProducerByteRate, 1)
	now := time.UnixMilli(1)
	for i := range maxRates + 10 {
		q.Throttle(ProducerByteRate, "u", fmt.Sprint(i), 1, now)
	}
	if n := len(q.mu.rates); n > maxRates {
		t.Errorf("%d rates are measured", n)
	}
	err := store.Update(func(tx meta.Tx) error {
		for i := range maxEntities {
			if err := tx.Put(meta.ClientQuotas, fmt.Sprintf("user=%d", i), []byte(`{"producer_byte_rate":1}`)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	q, _ = open(t, path)
	if err := q.Alter(Entity{User: name("one more")}, []Change{{Name: ProducerByteRate, Value: 1}}, false); !errors.Is(err,
		ErrTooMany) {
		t.Errorf("got %v", err)
	}
}

func TestADamagedRecordIsRefused(t *testing.T) {
	for _, record := range [][2]string{{"user=u", "{"}, {"user=u", `{"nosuch":1}`}, {"foo=u", `{"producer_byte_rate":1}`},
		{"user=u", `{"producer_byte_rate":-1}`}} {
		_, store := open(t, filepath.Join(t.TempDir(), "meta.db"))
		if err := store.Update(func(tx meta.Tx) error {
			return tx.Put(meta.ClientQuotas, record[0],
				[]byte(record[1]))
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(store, Config{}, Config{}); !errors.Is(err, meta.ErrDamaged) {
			t.Errorf("%q: %v", record, err)
		}
	}
}

// FuzzKey: what an entity's key says is the entity.
func FuzzKey(f *testing.F) {
	f.Add("u", "c", 3)
	f.Fuzz(func(t *testing.T, user, client string, which int) {
		e := Entity{}
		if which&1 != 0 {
			e[User] = &user
		}
		if which&2 != 0 {
			e[ClientID] = &client
		}
		if which&4 != 0 {
			e[User] = nil
		}
		if e.check() != nil {
			return
		}
		if back := entityOf(e.key()); back.key() != e.key() || len(back) != len(e) {
			t.Errorf("%q became %q", e.key(), back.key())
		}
	})
}

// Without quotas a request costs nothing.
func TestThrottleWithoutQuotasAllocatesNothing(t *testing.T) {
	q, _ := open(t, filepath.Join(t.TempDir(), "meta.db"))
	now := time.UnixMilli(1)
	if n := testing.AllocsPerRun(100, func() { q.Throttle(ProducerByteRate, "u", "c", 1, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
