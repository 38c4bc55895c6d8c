package topics

import (
	"crypto/rand"
	"fmt"
	"strings"

	"once/settings"
)

// Spec is a topic to be created.
type Spec struct {
	Name       string
	Partitions int32 // at least 1
	Overrides  settings.Values
	// Together are the names that the same request creates: as in Kafka, they may differ by '.' and '_' only.
	Together map[string]bool
}

// collides says whether two names are the same where '.' and '_' are alike. It is asked about each topic whenever one
// is created, so it makes no copies.
func collides(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && !(isDot(a[i]) && isDot(b[i])) {
			return false
		}
	}
	return true
}

func isDot(c byte) bool { return c == '.' || c == '_' }

// Validate returns the error with which a topic of this shape cannot be created, in Kafka's order of checks (spec:
// admin 2), or nil: ErrInvalidName, ErrExists, *settings.InvalidError, ErrInvalidPartitions or ErrTooManyPartitions.
func (ts *Topics) Validate(s Spec) error {
	ix := ts.index.Load()
	if err := CheckName(s.Name); err != nil {
		return err
	}
	if ix.byName[s.Name] != nil {
		return fmt.Errorf("%w: %q", ErrExists, s.Name)
	}
	if strings.ContainsAny(s.Name, "._") {
		for name := range ix.byName {
			if collides(name, s.Name) && !s.Together[name] {
				return fmt.Errorf("%w: %q collides with topic %q, because '.' and '_' are alike in metric names", ErrInvalidName,
					s.Name, name)
			}
		}
	}
	if ts.foldsCase {
		for name := range ix.byName {
			if strings.EqualFold(name, s.Name) {
				return fmt.Errorf("%w: %q collides with topic %q, because the file system does not distinguish upper and lower "+
					"case", ErrInvalidName, s.Name, name)
			}
		}
	}
	if _, err := ts.settings.Load().Topic(s.Overrides); err != nil {
		return err
	}
	if s.Partitions < 1 {
		return fmt.Errorf("%w: %d, at least 1", ErrInvalidPartitions, s.Partitions)
	}
	if ix.count+int(s.Partitions) > maxPartitions {
		return fmt.Errorf("%w: %d exist, %d more asked, %d allowed", ErrTooManyPartitions, ix.count, s.Partitions,
			maxPartitions)
	}
	return nil
}

// CheckName returns an error for a name that no topic can have (spec: admin 2 row 5).
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidName)
	case name == "." || name == "..":
		return fmt.Errorf("%w: %q is reserved", ErrInvalidName, name)
	case len(name) > 249:
		return fmt.Errorf("%w: %d characters, 249 allowed", ErrInvalidName, len(name))
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return fmt.Errorf("%w: %q has characters other than ASCII letters, digits, '.', '_' and '-'", ErrInvalidName, name)
		}
	}
	return nil
}

// Create creates a topic. It is durable and visible when Create returns.
func (ts *Topics) Create(s Spec) (*Topic, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if err := ts.Validate(s); err != nil {
		return nil, err
	}
	config, err := ts.settings.Load().Topic(s.Overrides)
	if err != nil {
		return nil, err
	}
	overrides, err := settings.CanonicalTopic(s.Overrides)
	if err != nil {
		return nil, err
	}
	t := ts.newTopic(s.Name, NewID(), ts.opts.Starts)
	ps, err := ts.makePartitionsLocked(t, config, 0, s.Partitions)
	if err != nil {
		return nil, err
	}
	next := &state{overrides: overrides, config: config, partitions: ps}
	if err := ts.save(t, next); err != nil {
		closeAll(ps)
		return nil, err
	}
	t.state.Store(next)
	ts.publish(func(ix *index) { ix.byName[t.Name], ix.byID[t.ID] = t, t; ix.count += int(s.Partitions) })
	return t, nil
}

// NewID returns a random version 4 UUID, which is neither of the reserved ones.
func NewID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}
