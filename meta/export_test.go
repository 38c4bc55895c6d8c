package meta

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"once/internal/vfs"
)

// A store of either kind exports the same bytes, and takes those of the other one.
func TestExportsOfBothStoresAreTheSame(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() Store) {
		s := open()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(s.Update(func(tx Tx) error {
			return errors.Join(tx.Put(Topics, "b", []byte{0, 255}), tx.Put(Topics, "a", nil), tx.Put(Cluster, "id", []byte("x")))
		}))
		exported, err := Export(s)
		must(err)
		if want := `{"cluster":{"id":"eA=="},"topics":{"a":"","b":"AP8="}}`; string(exported) != want {
			t.Errorf("%s, want %s", exported, want)
		}
		file, err := Open(filepath.Join(t.TempDir(), "other"), Options{NoSync: true})
		must(err)
		memory, err := OpenMemory(vfs.NewMem(), "other", Options{})
		must(err)
		for _, other := range []Store{file, memory} {
			must(Import(exported, other))
			if again, err := Export(other); err != nil || !bytes.Equal(again, exported) {
				t.Errorf("%T: %s, %v", other, again, err)
			}
			if value, err := other.Get(Topics, "a"); value == nil || len(value) > 0 || err != nil {
				t.Errorf("%T: an empty value is %v, %v", other, value, err)
			}
			must(other.Close())
		}
		must(s.Close())
	})
}

// What no export has is refused, and changes nothing.
func TestBadExportsAreRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() Store) {
		s := open()
		for _, bad := range []string{
			"", "[]", `{"cluster": 1}`, `{"cluster": {"a": "no base64"}}`, `{"none": {"a": ""}}`,
			`{"cluster": {"` + versionKey + `": ""}}`,
			`{"cluster": {"": ""}}`, `{"cluster": {"good": ""}, "topics": {"` + strings.Repeat("k", maxKeyBytes+1) + `": ""}}`,
		} {
			if err := Import([]byte(bad), s); !errors.Is(err, ErrNotExported) {
				t.Errorf("%.50s: %v", bad, err)
			}
		}
		err := s.Keys(func(b Bucket, key string, _ []byte) error { return errors.New(key) })
		if err != nil {
			t.Error("there is", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
