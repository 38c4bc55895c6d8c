package settings

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// strict changes defaults and nothing else: of the settings it names, each can be set alone.
func TestStrictChangesDefaultsOnly(t *testing.T) {
	resolve := func(values Values) *Broker {
		t.Helper()
		b, _, err := Resolve(values)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	kind, strict := resolve(nil), resolve(Values{"strict": "true"})
	var changed []string
	for _, table := range brokerTables {
		for i := range table {
			if name := table[i].Name; kind.text(name) != strict.text(name) {
				changed = append(changed, name)
			}
		}
	}
	want := slices.Sorted(maps.Keys(strictDefaults))
	slices.Sort(changed)
	if got := slices.DeleteFunc(changed, func(name string) bool { return name == "strict" }); !slices.Equal(got, want) {
		t.Errorf("strict changes %v, want %v", got, want)
	}
	d, _ := Lookup("strict")
	for _, name := range want {
		if got := strict.text(name); got != strictDefaults[name] || strict.isExplicit(name) {
			t.Errorf("%s=%s, set %v", name, got, strict.isExplicit(name))
		}
		if !strings.Contains(d.Documentation, name) {
			t.Errorf("the documentation of strict does not name %s", name)
		}
		other := kind.text(name)
		if got := resolve(Values{"strict": "true", name: other}).text(name); got != other {
			t.Errorf("strict with %s=%s: it is %s", name, other, got)
		}
		if got := resolve(Values{name: strictDefaults[name]}).text(name); got != strictDefaults[name] {
			t.Errorf("%s alone: it is %s", name, got)
		}
	}
	if got := strict.Changed(); !slices.Equal(got, []string{"strict=true"}) {
		t.Errorf("what differs from the defaults: %v", got)
	}
}
