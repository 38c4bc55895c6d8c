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
		canonical, err := CanonicalTopic(given)
		var invalid *InvalidError
		if (c.canonical == "") != errors.As(err, &invalid) || err == nil && !maps.Equal(canonical, Values{c.name: c.canonical}) {
			t.Errorf("%s=%q: canonical %v, %v", c.name, c.value, canonical, err)
		}
		if err := CheckStoredTopic(given); (err == nil) != (c.canonical == c.value) || err != nil && !errors.As(err, &invalid) {
			t.Errorf("%s=%q as stored: %v", c.name, c.value, err)
		}
		if old, err := CanonicalOldTopic(given); (err == nil) != c.old || c.old && !maps.Equal(old, canonical) || err != nil && !errors.As(err, &invalid) {
			t.Errorf("%s=%q as stored by an older version: %v, %v", c.name, c.value, old, err)
		}
	}
}
