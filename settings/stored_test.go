package settings

import (
	"errors"
	"maps"
	"testing"
)

func TestStoredSettingsAreCanonical(t *testing.T) {
	for _, c := range []struct {
		name, value string
		canonical   string // "" when it is not allowed at all
		old         bool   // may stand in what was stored as clients wrote it
	}{
		{"retention.ms", "-1", "-1", true},
		{"retention.ms", "0", "0", true},
		{"retention.ms", "-0", "0", false},
		{"retention.ms", "+1", "1", false},
		{"retention.ms", " 1", "1", false},
		{"retention.ms", "10 ", "10", false},
		{"retention.ms", "010", "10", false},
		{"retention.ms", "-2", "", false},
		{"retention.ms", "9223372036854775808", "", false},
		{"segment.bytes", "1048575", "", false},
		{"segment.bytes", "1_048_576", "", false},
		{"max.message.bytes", "2147483648", "", false},
		{"preallocate", "True", "true", true},
		{"preallocate", "true", "true", true},
		{"min.cleanable.dirty.ratio", "0.50", "0.5", true},
		{"min.cleanable.dirty.ratio", "1.1", "", false},
		{"cleanup.policy", "compact, delete", "compact,delete", true},
		{"cleanup.policy", "compacd", "", false},
		{"compression.type", " gzip", "gzip", true},
		{"retentIon.ms", "1", "", false},
	} {
		given := Values{c.name: c.value}
		expect := func(what string, got Values, err error, allowed bool) {
			t.Helper()
			var invalid *InvalidError
			if !allowed && !errors.As(err, &invalid) || allowed &&
				(err != nil || !maps.Equal(got, Values{c.name: c.canonical})) {
				t.Errorf("%s of %s=%q: %v, %v", what, c.name, c.value, got, err)
			}
		}
		canonical, err := CanonicalTopic(given)
		expect("canonical form", canonical, err, c.canonical != "")
		expect("stored form", given, CheckStoredTopic(given), c.canonical == c.value)
		old, err := CanonicalOldTopic(given)
		expect("older form", old, err, c.old)
	}
}
