package history

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestProvenanceSurvivesARoundTrip(t *testing.T) {
	want := Provenance{RunID: 1 << 63, Incarnation: 3, Txn: 4, Seq: 5, Index: 6, Count: 7, InPartition: -1,
		InOffset: 1 << 40, ID: 12}
	got, err := Decode(want.Encode())
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestEveryDamagedBitIsNoticed(t *testing.T) {
	good := Provenance{RunID: 9, ID: 12}.Encode()
	for i := range good {
		for bit := range 8 {
			bad := append([]byte(nil), good...)
			bad[i] ^= 1 << bit
			if _, err := Decode(bad); !errors.Is(err, ErrProvenance) {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
		}
	}
	for _, bad := range [][]byte{nil, good[:len(good)-1], append(good, 0)} {
		if _, err := Decode(bad); !errors.Is(err, ErrProvenance) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

func TestLogFileSurvivesARoundTrip(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	want := []LogRecord{{Log: 1, Flags: Transactional, ProducerEpoch: 2, Offset: 3, ProducerID: 4,
		Provenance: Provenance{ID: 5}}, {Log: 2, Flags: Control | CommitMarker}}
	if err := WriteLog(name, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLog(name)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestHistoriesAreMergedByTimeAndATornLineIsDropped(t *testing.T) {
	dir := t.TempDir()
	for name, times := range map[string][]int64{"a": {1, 4}, "b": {2, 3}} {
		w, err := Create(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range times {
			w.Write(Event{TimeNs: at, Kind: KindNote})
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, "a.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"t":9,"k":"no`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	events, err := ReadDir(dir)
	if err != nil || len(events) != 4 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i, e := range events {
		if e.TimeNs != int64(i+1) {
			t.Errorf("event %d has time %d", i, e.TimeNs)
		}
	}
	if _, err := Create(dir, "a"); err == nil {
		t.Error("a history was overwritten")
	}
}

func TestWorkloadIsAFunctionOfTheSeed(t *testing.T) {
	c := Config{Seed: 5, InParts: 4, OutParts: 4}
	counts := [3]int{}
	for id := range int64(10_000) {
		n := c.Outputs(id)
		counts[n]++
		if p := c.InputLog(id); !c.IsInput(p) {
			t.Fatalf("input %d goes to log %d", id, p)
		}
		for k := range n {
			if l := c.OutputLog(id, k); l < 4+4*int32(k) || l >= 8+4*int32(k) {
				t.Fatalf("output %d of input %d goes to log %d", k, id, l)
			}
		}
	}
	for n, want := range [3]int{500, 5000, 4500} {
		if counts[n] < want-300 || counts[n] > want+300 {
			t.Errorf("%d inputs have %d outputs, want about %d", counts[n], n, want)
		}
	}
}
