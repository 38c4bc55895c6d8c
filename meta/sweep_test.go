package meta

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dump returns all records of a store.
func dump(s *File) (map[string]string, error) {
	all := map[string]string{}
	err := s.Keys(func(b Bucket, key string, value []byte) error {
		all[string(b)+"/"+key] = string(value)
		return nil
	})
	return all, err
}

// small makes a file with topics of several sizes, in a tree of two levels, and returns it with its records. It has
// been changed often enough for free pages to be in the middle of it.
func small(t *testing.T) ([]byte, map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "meta.db")
	s, err := Open(path, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	set(t, s, Cluster, "cluster id", "AAAAAAAAAAAAAAAAAAAAAA")
	for i := range 40 {
		value := fmt.Sprintf(`{"id":[%d],"partitions":%d,"overrides":{"retention.ms":"-1"}}`, i, i)
		set(t, s, Topics, fmt.Sprint("topic-", i), value)
		set(t, s, Cluster, "starts", fmt.Sprint(i))
	}
	set(t, s, Topics, "wide", strings.Repeat("w", 5000))
	for i := range 10 {
		if err := s.Update(func(tx Tx) error { return tx.Delete(Topics, fmt.Sprint("topic-", 3*i)) }); err != nil {
			t.Fatal(err)
		}
	}
	records, err := dump(s)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b, records
}

// overwrite gives a file a content without cutting it off before: a file system may write such a file to the disk at
// its close.
func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(content, 0)
	if err := errors.Join(err, f.Truncate(int64(len(content))), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// survive opens a spoiled file and uses it. It is refused by its name, or it holds exactly the records and can be
// changed: never is it a panic or another answer.
func survive(t *testing.T, what string, path string, spoiled []byte, records map[string]string) (refused bool) {
	t.Helper()
	overwrite(t, path, spoiled)
	r, rerr := OpenReadOnly(path)
	if rerr == nil {
		if got, err := dump(r); err != nil || !maps.Equal(got, records) {
			t.Errorf("%s: read only: %d records, not the %d written: %v", what, len(got), len(records), err)
		}
		_ = r.Close()
	}
	s, err := Open(path, Options{NoSync: true})
	if (err == nil) != (rerr == nil) {
		t.Errorf("%s: to write: %v; to read: %v", what, err, rerr)
	}
	if err != nil {
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", what, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, spoiled) {
			t.Errorf("%s: the refused file was changed, %v", what, err)
		}
		return true
	}
	got, err := dump(s)
	if err != nil || !maps.Equal(got, records) {
		t.Errorf("%s: %d records, not the %d written: %v", what, len(got), len(records), err)
	}
	for range 3 { // the free pages are written to, one after the other
		for _, value := range []string{strings.Repeat("v", 6000), records["topics/wide"]} {
			err = errors.Join(err, s.Update(func(tx Tx) error { return tx.Put(Topics, "wide", []byte(value)) }))
		}
	}
	if err := errors.Join(err, s.Close()); err != nil {
		t.Errorf("%s: changing it: %v", what, err)
		return false
	}
	again, err := OpenReadOnly(path)
	if err != nil {
		t.Errorf("%s: after a change: %v", what, err)
		return false
	}
	defer again.Close()
	if got, err := dump(again); err != nil || !maps.Equal(got, records) {
		t.Errorf("%s: after a change, %d records, not the %d written: %v", what, len(got), len(records), err)
	}
	return false
}

// fullSweep says whether every bit is to be flipped, and not a sample.
func fullSweep() bool { return os.Getenv("ONCE_META_SWEEP") != "" }

// Every bit of a file is flipped, one at a time.
func TestFlippedBitIsRefusedOrHarmless(t *testing.T) {
	good, records := small(t)
	path := filepath.Join(t.TempDir(), "meta.db")
	step, first := 1, 0
	if !fullSweep() {
		step, first = 499, rand.Intn(499)
	}
	refused, harmless := 0, 0
	for bit := first; bit < 8*len(good); bit += step {
		good[bit/8] ^= 1 << (bit % 8)
		if survive(t, fmt.Sprintf("bit %d of byte %d", bit%8, bit/8), path, good, records) {
			refused++
		} else {
			harmless++
		}
		good[bit/8] ^= 1 << (bit % 8)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d bits: %d refused, %d in what is not in use", refused+harmless, refused, harmless)
	if refused == 0 || harmless == 0 {
		t.Error("one of them never happened")
	}
}

// Every page is zeroed, filled with garbage, and replaced by every other one; and the file is cut behind every page.
func TestSpoiledPageIsRefusedOrHarmless(t *testing.T) {
	good, records := small(t)
	path := filepath.Join(t.TempDir(), "meta.db")
	page := os.Getpagesize()
	pages := len(good) / page
	spoil := func(what string, n int, with []byte) {
		bad := bytes.Clone(good)
		copy(bad[n*page:(n+1)*page], with)
		survive(t, fmt.Sprintf("page %d of %d %s", n, pages, what), path, bad, records)
	}
	dice := rand.New(rand.NewSource(1))
	for n := range pages {
		garbage := make([]byte, page)
		_, _ = dice.Read(garbage)
		spoil("zeroed", n, make([]byte, page))
		spoil("filled with garbage", n, garbage)
		spoil("filled with ones", n, bytes.Repeat([]byte{0xff}, page))
		for other := range pages {
			spoil(fmt.Sprint("replaced by page ", other), n, good[other*page:(other+1)*page])
		}
		survive(t, fmt.Sprintf("cut behind page %d of %d", n, pages), path, good[:n*page+1], records)
		survive(t, fmt.Sprintf("cut before page %d of %d", n+1, pages), path, good[:(n+1)*page], records)
	}
}

// Fields of pages in use are set to what makes numbers large, small and equal to others.
func TestSpoiledFieldIsRefusedOrHarmless(t *testing.T) {
	good, records := small(t)
	path := filepath.Join(t.TempDir(), "meta.db")
	page := os.Getpagesize()
	step := 97 * 4
	if fullSweep() {
		step = 4
	}
	for at := rand.Intn(step) / 4 * 4; at+8 <= len(good); at += step {
		for _, fill := range [][]byte{
			make([]byte, 8), bytes.Repeat([]byte{0xff}, 8), bytes.Repeat([]byte{0xff}, 4), bytes.Repeat([]byte{0xff}, 2),
			{2}, {3}, {4}, {5}, {0, 0, 1}, {0, 0, 0, 0x7f}, {1, 0, 0, 0, 0, 0, 0, 0x80},
		} {
			bad := bytes.Clone(good)
			copy(bad[at:], fill)
			survive(t, fmt.Sprintf("%x at byte %d of page %d", fill, at%page, at/page), path, bad, records)
		}
		if t.Failed() {
			return
		}
	}
}

// An older version of one page is the one kind of damage with a good structure and good checksums.
func TestOlderPageIsRefusedOrHarmless(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	s, err := Open(path, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	var versions [][]byte
	for i := range 60 {
		key := fmt.Sprint("topic-", i%20)
		if i%7 == 6 {
			err = s.Update(func(tx Tx) error { return tx.Delete(Topics, key) })
		} else {
			err = s.Update(func(tx Tx) error { return tx.Put(Topics, key, bytes.Repeat([]byte{byte('0' + i)}, 300)) })
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, b)
	}
	records, err := dump(s)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	records["topics/wide"] = "" // survive leaves it behind
	good := versions[len(versions)-1]
	spoiled := filepath.Join(t.TempDir(), "meta.db")
	stale := 0
	for i := range versions {
		for n := 2; n < len(versions[i])/page; n++ { // an older head is the older file, see readHeads
			if bytes.Equal(versions[i][n*page:(n+1)*page], good[n*page:(n+1)*page]) {
				continue
			}
			bad := bytes.Clone(good)
			copy(bad[n*page:], versions[i][n*page:(n+1)*page])
			if err := os.WriteFile(spoiled, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := OpenReadOnly(spoiled)
			if err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Fatal(err)
				}
				stale++
				continue
			}
			got, err := dump(r)
			got["topics/wide"] = ""
			if err := errors.Join(err, r.Close()); err != nil || !maps.Equal(got, records) {
				t.Fatalf("page %d as of change %d: %d records, %v", n, i, len(got), err)
			}
		}
	}
	if stale == 0 {
		t.Error("no page was an older one")
	}
}
