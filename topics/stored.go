package topics

import (
	"slices"
	"strings"

	"once/meta"
	"once/settings"
)

// Stored is a topic as the metadata has it, for tools that read the data directory of a broker that
// does not run.
type Stored struct {
	Name           string
	ID             [16]byte
	Partitions     int32
	CreatedAtStart int32 // how many starts the data directory had seen
	Overrides      settings.Values
}

// ReadStored returns all topics ordered by name. An unreadable record is meta.ErrDamaged.
func ReadStored(store *meta.Store) ([]Stored, error) {
	records, err := readRecords(store)
	if err != nil {
		return nil, err
	}
	all := make([]Stored, 0, len(records))
	for name, r := range records {
		all = append(all, Stored{Name: name, ID: r.ID, Partitions: r.Partitions, CreatedAtStart: r.CreatedAtStart, Overrides: r.Overrides})
	}
	slices.SortFunc(all, func(a, b Stored) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
