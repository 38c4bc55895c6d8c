package cluster

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"once/configs"
	"once/credentials"
	"once/meta"
	"once/quotas"
	"once/settings"
	"once/topics"
)

// identity identifies a data directory.
type identity struct {
	clusterID string // 22 characters, as Kafka's
	starts    int32  // how often a broker has started on it, this time included
	// forkDistance is the distance of a fork's producer IDs above those of its image, while the fork is not finished; 0
	// otherwise.
	forkDistance int64
}

// The records of the cluster bucket.
const (
	clusterIDKey      = "cluster id"
	startsKey         = "starts"
	nextProducerIDKey = "next producer id"
	forkKey           = "fork distance" // see identity
	resetKey          = "reset"         // there while the files of the time before a reset have not been moved aside
)

// begin counts a start, and gives a new data directory its cluster ID.
func begin(store meta.Store) (id identity, err error) {
	err = store.Update(func(tx meta.Tx) error {
		clusterID, err := tx.Get(meta.Cluster, clusterIDKey)
		if err != nil {
			return err
		}
		id.clusterID = string(clusterID)
		if id.clusterID == "" {
			id.clusterID = newClusterID()
			if err := tx.Put(meta.Cluster, clusterIDKey, []byte(id.clusterID)); err != nil {
				return err
			}
		}
		starts, err := counter(tx, startsKey)
		if err != nil {
			return err
		}
		id.starts = int32(starts) + 1
		if id.forkDistance, err = counter(tx, forkKey); err != nil {
			return err
		}
		if err := tx.Delete(meta.Cluster, resetKey); err != nil {
			return err
		}
		return putCounter(tx, startsKey, int64(id.starts))
	})
	return id, err
}

// renew empties the metadata except for cluster ID, count of starts, and next producer ID. The caller moves the logs
// aside.
func renew(tx meta.Tx, keepTopics bool) error {
	starts, err := counter(tx, startsKey)
	if err == nil {
		err = topics.Renew(tx, keepTopics, int32(starts)+1)
	}
	if err == nil {
		err = configs.Clear(tx)
	}
	if err == nil {
		err = forgetFeatures(tx)
	}
	if err == nil {
		err = quotas.Clear(tx)
	}
	if err == nil {
		err = credentials.Clear(tx)
	}
	if err != nil {
		return err
	}
	return tx.Put(meta.Cluster, resetKey, nil)
}

// checkMeta reads all metadata that the start needs, before anything in the directory is changed.
func checkMeta(store meta.Store, s *settings.Broker) error {
	starts, err := counter(store, startsKey)
	if err != nil {
		return err
	}
	for _, key := range []string{nextProducerIDKey, forkKey} {
		if _, err := counter(store, key); err != nil {
			return err
		}
	}
	id, err := store.Get(meta.Cluster, clusterIDKey)
	if err != nil {
		return err
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(string(id)); starts > 0 && (err != nil || len(raw) != 16) {
		return store.Damaged(meta.Cluster, clusterIDKey, fmt.Errorf("%q is no cluster ID", id))
	}
	stored, err := topics.ReadStored(store)
	if err != nil {
		return err
	}
	for _, t := range stored {
		if _, err := s.Topic(t.Overrides); err != nil {
			return store.Damaged(meta.Topics, t.Name, err)
		}
	}
	if _, err = readFeatures(store); err != nil {
		return err
	}
	if err := errors.Join(quotas.Check(store), credentials.Check(store)); err != nil {
		return err
	}
	_, err = configs.ReadStored(store)
	return err
}

// checkOldCluster checks the records of the cluster in metadata without checksums. A record under a damaged key would
// be missing without notice.
func checkOldCluster(tx meta.Tx) error {
	return tx.All(meta.Cluster, func(key string, value []byte) error {
		switch key {
		case clusterIDKey: // checkMeta looks at it
			return nil
		case startsKey, nextProducerIDKey:
			_, err := decodeCounter(tx, key, value)
			return err
		}
		return tx.Damaged(meta.Cluster, key, errors.New("no broker has written a record of this name"))
	})
}

// reader is a meta.Store or a meta.Tx.
type reader interface {
	Get(b meta.Bucket, key string) ([]byte, error)
	Damaged(b meta.Bucket, key string, cause error) error
}

// counter reads a number; a missing one is 0.
func counter(from reader, key string) (int64, error) {
	v, err := from.Get(meta.Cluster, key)
	if err != nil || v == nil {
		return 0, err
	}
	return decodeCounter(from, key, v)
}

func decodeCounter(from reader, key string, v []byte) (int64, error) {
	if len(v) != 8 || v[0] > 0x7f || key == startsKey && binary.BigEndian.Uint64(v) >= math.MaxInt32 {
		return 0, from.Damaged(meta.Cluster, key, fmt.Errorf("%x is no number of 63 bits that it can be", v))
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}

func putCounter(tx meta.Tx, key string, v int64) error {
	return tx.Put(meta.Cluster, key, binary.BigEndian.AppendUint64(nil, uint64(v)))
}

// blockStore stores the first producer ID of the next block.
type blockStore struct{ store meta.Store }

// ReserveProducerIDs implements pidmanager.BlockStore.
func (s blockStore) ReserveProducerIDs(count, atLeast int64) (first int64, err error) {
	err = s.store.Update(func(tx meta.Tx) error {
		next, err := counter(tx, nextProducerIDKey)
		if err != nil {
			return err
		}
		if first = max(next, atLeast); first > math.MaxInt64-count {
			return fmt.Errorf("%d producer IDs from %d on: there are not so many left", count, first)
		}
		return putCounter(tx, nextProducerIDKey, first+count)
	})
	return first, err
}
