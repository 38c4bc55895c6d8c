package configs

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"once/meta"
	"once/settings"
)

func open(t *testing.T, path string) (*Configs, meta.Store) {
	t.Helper()
	store, err := meta.Open(path, meta.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	b, _, err := settings.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(store, b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c, store
}

// to makes a change that sets exactly this.
func to(v settings.Values) func(settings.Values) (settings.Values, error) {
	return func(settings.Values) (settings.Values, error) { return v, nil }
}

func alter(t *testing.T, c *Configs, k Kind, name string, v settings.Values) {
	t.Helper()
	if err := c.Alter(k, name, to(v), false); err != nil {
		t.Fatal(err)
	}
}

func TestConfigsSurviveReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	c, store := open(t, path)
	group, metrics := settings.Values{"consumer.session.timeout.ms": "50000"}, settings.Values{"interval.ms": "1000"}
	alter(t, c, Group, "g", group)
	alter(t, c, Group, "gone", group)
	alter(t, c, ClientMetrics, "g", metrics)
	alter(t, c, Group, "gone", settings.Values{})
	store.Close()

	c, store = open(t, path)
	for _, want := range []struct {
		kind   Kind
		name   string
		values settings.Values
	}{{Group, "g", group}, {Group, "gone", nil}, {ClientMetrics, "g", metrics}, {ClientMetrics, "gone", nil}} {
		if got := c.Get(want.kind, want.name); !maps.Equal(got, want.values) {
			t.Errorf("%s %s: %v, want %v", want.kind, want.name, got, want.values)
		}
	}
	alter(t, c, Group, "a", group)
	if names := c.Names(Group); !slices.Equal(names, []string{"a", "g"}) {
		t.Errorf("groups %q", names)
	}
	alter(t, c, Group, "a", nil)
	if stored, err := ReadStored(store); err != nil || len(stored) != 2 {
		t.Errorf("stored: %v, %v", stored, err)
	}
}

func TestRefusedAndValidatedOnlyChangesDoNothing(t *testing.T) {
	c, _ := open(t, filepath.Join(t.TempDir(), "meta.db"))
	was := settings.Values{"interval.ms": "1000"}
	alter(t, c, ClientMetrics, "m", was)
	refusal := errors.New("refused")
	err := c.Alter(ClientMetrics, "m", func(v settings.Values) (settings.Values, error) {
		v["interval.ms"] = "2000"
		return v, refusal
	}, false)
	if !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
	err = c.Alter(ClientMetrics, "m", to(settings.Values{"interval.ms": "1"}), false)
	if !errors.Is(err, settings.ErrClientMetrics) {
		t.Errorf("got %v", err)
	}
	if err := c.Alter(ClientMetrics, "m", to(settings.Values{"interval.ms": "2000"}), true); err != nil {
		t.Errorf("got %v", err)
	}
	if got := c.Get(ClientMetrics, "m"); !maps.Equal(got, was) {
		t.Errorf("now %v", got)
	}
}

func TestResourcesAreLimited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	_, store := open(t, path)
	err := store.Update(func(tx meta.Tx) error {
		for i := range maxResources {
			record := []byte(`{"share.isolation.level":"read_committed"}`)
			if err := tx.Put(meta.GroupConfigs, fmt.Sprint(i), record); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	c, _ := open(t, path)
	set := settings.Values{"share.isolation.level": "read_uncommitted"}
	if err := c.Alter(Group, "one more", to(set), false); !errors.Is(err, ErrTooMany) {
		t.Errorf("got %v", err)
	}
	alter(t, c, Group, "7", set) // has settings already
	alter(t, c, Group, "8", nil)
	alter(t, c, Group, "one more", set)
}

func TestDamagedRecordIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	_, store := open(t, path)
	if err := store.Update(func(tx meta.Tx) error { return tx.Put(meta.GroupConfigs, "g", []byte("{")) }); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(store, nil, nil); !errors.Is(err, meta.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}
