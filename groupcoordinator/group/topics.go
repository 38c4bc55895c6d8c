package group

// Topics is the image of the topics that groups assign partitions from. It may be called under the lock of a shard; it
// takes no lock. Read Version first: a change that comes later shows in the next version.
type Topics interface {
	// Version grows with each topic that is created or deleted or gets partitions. It begins anew with a restart.
	Version() uint64
	Lookup(name string) (Topic, bool)
	LookupID(id [16]byte) (Topic, bool)
	// All returns all topics by name, in no particular order.
	All() []Topic
}

// Topic is a topic in the image.
type Topic struct {
	Name       string
	ID         [16]byte
	Partitions int32
}

// NoTopics is an image without topics.
type NoTopics struct{}

// Version implements Topics.
func (NoTopics) Version() uint64 { return 0 }

// Lookup implements Topics.
func (NoTopics) Lookup(string) (Topic, bool) { return Topic{}, false }

// LookupID implements Topics.
func (NoTopics) LookupID([16]byte) (Topic, bool) { return Topic{}, false }

// All implements Topics.
func (NoTopics) All() []Topic { return nil }
