package broker_test

import "slices"

// readRecord is a record of a log, and whether a reader of committed records sees it.
type readRecord struct {
	offset  int64
	value   string
	visible bool
}

// read reads a whole log with both isolation levels. Aborted records are told as clients do it: by the
// list of aborted transactions, each of which ends at its producer's next marker.
func (c *killClient) read(topic string, index int32) []readRecord {
	c.t.Helper()
	gapless := *c.Client
	gapless.Gapless = true
	stored, next, _ := gapless.Read(topic, index, 0, false)
	if end, _, _ := c.Ends(topic, index); next != end {
		c.t.Fatalf("%s-%d: nothing at %d, the high watermark is %d", topic, index, next, end)
	}
	all := make([]readRecord, len(stored))
	for i, r := range stored {
		all[i] = readRecord{offset: r.Offset, value: r.Value}
	}
	committed, _, _ := gapless.Read(topic, index, 0, true)
	for _, r := range committed {
		i := slices.IndexFunc(all, func(other readRecord) bool { return other.offset == r.Offset })
		if i < 0 || all[i].value != r.Value {
			c.t.Fatalf("%s-%d at %d: %q is committed and not there", topic, index, r.Offset, r.Value)
		}
		all[i].visible = !r.Aborted
	}
	return all
}
