package meta

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestOpenReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	if _, err := OpenReadOnly(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(func(tx Tx) error { return tx.Put(Topics, "x", bytes.Repeat([]byte("value"), 3000)) }); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReadOnly(path); !errors.Is(err, ErrLocked) {
		t.Errorf("beside a broker: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := r.Get(Topics, "x"); err != nil || len(v) != 15000 {
		t.Errorf("%d bytes, %v", len(v), err)
	}
	keys := 0
	if err := r.Keys(func(Bucket, string, []byte) error { keys++; return nil }); err != nil || keys != 1 {
		t.Errorf("%d records, %v", keys, err)
	}
	if err := r.Update(func(tx Tx) error { return tx.Put(Topics, "y", nil) }); err == nil {
		t.Error("it can be changed")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file has changed")
	}
}

// Whatever stands in the pages, the answer is an error: a page number out of the file is a fault of
// memory that would end the process.
func TestOpenReadOnlyOfDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(func(tx Tx) error { return tx.Put(Topics, "x", []byte("value")) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	refused := 0
	for from := 2 * page; from+8 < len(good); from += 8 {
		if from%page > 96 {
			continue // behind the page's header and the first entries, where numbers of pages stand
		}
		for _, fill := range []byte{0x41, 0xff} {
			bad := bytes.Clone(good)
			for i := range 8 {
				bad[from+i] = fill
			}
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := OpenReadOnly(path)
			switch {
			case err == nil:
				r.Close()
			case !errors.Is(err, ErrDamaged):
				t.Fatalf("8 bytes of %02x at %d: %v", fill, from, err)
			default:
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
	for name, bad := range map[string][]byte{"empty": nil, "cut": good[:len(good)/2],
		"text": []byte("this is no such file")} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenReadOnly(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
