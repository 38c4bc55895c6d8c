// Package meta keeps the few things that no log can give back: cluster ID, topics with their IDs and configurations,
// those of groups, client metrics and the broker, producer ID blocks, the count of starts. It is a store of named
// bytes with atomic, durable writes; the owner of a record owns its encoding. No request of the produce, fetch, commit
// or heartbeat kind writes here.
//
// There are two stores. File is one bbolt file. Damage to it is named and never served: each record has a checksum,
// all of them together have a summary that changes with each of them, and the structure of the file is checked before
// bbolt gets it, because bbolt would crash on what is wrong with it. Memory is for file systems in memory.
//
// A write or sync that fails ends a store: nothing that it says about the disk could be believed any more. Where the
// disk had no room and nothing was damaged by that, the store goes on.
package meta

// Bucket names a set of records.
type Bucket string

// The buckets, each with its owner.
const (
	// broker, and meta itself for the format version and the summary
	Cluster              Bucket = "cluster"
	Topics               Bucket = "topics"                 // topics
	GroupConfigs         Bucket = "group configs"          // configs
	ClientMetricsConfigs Bucket = "client metrics configs" // configs
	BrokerConfigs        Bucket = "broker configs"         // configs
	ClientQuotas         Bucket = "client quotas"          // quotas
	Credentials          Bucket = "credentials"            // credentials
)

// buckets are made when a file is opened that does not have them: a new one, or one of an older program.
var buckets = []Bucket{Cluster, Topics, GroupConfigs, ClientMetricsConfigs, BrokerConfigs, ClientQuotas, Credentials}

// Store is an open store. Safe for concurrent use. A function that is passed to a method does not call the store.
// After ErrFailed or ErrDamaged, a store answers nothing but that.
type Store interface {
	// Get returns a copy of a record, or nil when there is none.
	Get(b Bucket, key string) (value []byte, err error)
	// All calls f for every record of a bucket in the order of their keys. value is valid during the call.
	All(b Bucket, f func(key string, value []byte) error) error
	// Keys calls f for every record of every bucket, also of those that this program does not know.
	Keys(f func(b Bucket, key string, value []byte) error) error
	// Update makes one atomic change. It is durable when Update returns without an error; with one, nothing has
	// changed, unless the error is an ErrFailed: then it is not known.
	Update(f func(Tx) error) error
	// Version is the format version of the file: FormatVersion, or an older one where it is open for reading only.
	Version() int
	// Damaged returns what an owner says of a record that it cannot have written.
	Damaged(b Bucket, key string, cause error) error
	// Close closes the store.
	Close() error
}

// Tx is one atomic change.
type Tx interface {
	// Get returns a record as this change sees it, valid until the change ends; nil when there is none.
	Get(b Bucket, key string) (value []byte, err error)
	// All calls f for every record of a bucket in the order of their keys. f changes nothing, and value is valid during
	// the call.
	All(b Bucket, f func(key string, value []byte) error) error
	// Put writes a record.
	Put(b Bucket, key string, value []byte) error
	// Delete removes a record; one that is not there is no error.
	Delete(b Bucket, key string) error
	// Damaged returns what an owner says of a record that it cannot have written.
	Damaged(b Bucket, key string, cause error) error
}
