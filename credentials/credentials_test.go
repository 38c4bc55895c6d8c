package credentials

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"once/meta"
)

func open(t *testing.T, path string) (*Credentials, meta.Store) {
	t.Helper()
	store, err := meta.Open(path, meta.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	c, err := Open(store)
	if err != nil {
		t.Fatal(err)
	}
	return c, store
}

// The example of RFC 7677: user "user", password "pencil".
func TestKeysAreThoseOfTheStandard(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	salted, err := hex.DecodeString("c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d")
	if err != nil {
		t.Fatal(err)
	}
	c, _ := open(t, filepath.Join(t.TempDir(), "meta.db"))
	if err := c.Alter(Change{User: "user", Mechanism: SHA256, Iterations: 4096, Salt: salt,
		SaltedPassword: salted}); err != nil {
		t.Fatal(err)
	}
	got := c.User("user")[SHA256]
	if stored := base64.StdEncoding.EncodeToString(got.StoredKey); stored != "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=" {
		t.Errorf("stored key %s", stored)
	}
	if server := base64.StdEncoding.EncodeToString(got.ServerKey); server != "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=" {
		t.Errorf("server key %s", server)
	}
}

func TestCredentialsAreThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	c, store := open(t, path)
	for _, change := range []Change{
		{User: "b", Mechanism: SHA512, Iterations: 8192, Salt: []byte("s"), SaltedPassword: []byte("p")},
		{User: "a", Mechanism: SHA256, Iterations: 4096, SaltedPassword: []byte("p")},
		{User: "a", Mechanism: SHA512, Iterations: 4096, SaltedPassword: []byte("p")},
		{User: "gone", Mechanism: SHA256, Iterations: 4096, SaltedPassword: []byte("p")},
		{User: "gone", Mechanism: SHA256, Delete: true},
		{User: "a", Mechanism: SHA512, Delete: true},
	} {
		if err := c.Alter(change); err != nil {
			t.Fatal(err)
		}
	}
	store.Close()
	c, _ = open(t, path)
	if users := c.Users(); !slices.Equal(users, []string{"a", "b"}) {
		t.Errorf("users %q", users)
	}
	if a := c.User("a"); len(a) != 1 || a[SHA256].Iterations != 4096 {
		t.Errorf("a has %v", a)
	}
	if b := c.User("b"); len(b[SHA512].StoredKey) != 64 || string(b[SHA512].Salt) != "s" {
		t.Errorf("b has %v", b)
	}
}

func TestWrongChangesAreRefused(t *testing.T) {
	c, store := open(t, filepath.Join(t.TempDir(), "meta.db"))
	good := Change{User: "a", Mechanism: SHA256, Iterations: 4096, SaltedPassword: []byte("p")}
	for _, tc := range []struct {
		change func(*Change)
		want   error
	}{
		{func(c *Change) { c.User = "" }, ErrUnacceptable},
		{func(c *Change) { c.Mechanism = 3 }, ErrMechanism},
		{func(c *Change) { c.Iterations = 4095 }, ErrUnacceptable},
		{func(c *Change) { c.Iterations = 16385 }, ErrUnacceptable},
		{func(c *Change) { c.SaltedPassword = nil }, ErrUnacceptable},
		{func(c *Change) { c.Salt = make([]byte, maxSaltBytes+1) }, ErrUnacceptable},
		{func(c *Change) { c.Delete = true }, ErrNotFound},
	} {
		bad := good
		tc.change(&bad)
		if err := c.Alter(bad); !errors.Is(err, tc.want) {
			t.Errorf("%+v: %v, want %v", bad, err, tc.want)
		}
	}
	err := store.Update(func(tx meta.Tx) error {
		for i := range maxUsers {
			if err := tx.Put(meta.Credentials, fmt.Sprint(i), []byte(`{}`)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	full, err := Open(store)
	if err != nil {
		t.Fatal(err)
	}
	if err := full.Alter(good); !errors.Is(err, ErrTooMany) {
		t.Errorf("got %v", err)
	}
}

func TestADamagedRecordIsRefused(t *testing.T) {
	_, store := open(t, filepath.Join(t.TempDir(), "meta.db"))
	if err := store.Update(func(tx meta.Tx) error { return tx.Put(meta.Credentials, "a", []byte("{")) }); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(store); !errors.Is(err, meta.ErrDamaged) || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("got %v", err)
	}
}
