package broker

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os"

	"once/configs"
	"once/meta"
	"once/settings"
	"once/topics"
)

// identity is what a data directory is known by.
type identity struct {
	clusterID string // 22 characters, as Kafka's
	starts    int32  // how often a broker has started on it, this time included
}

// The records of the cluster bucket.
const (
	clusterIDKey      = "cluster id"
	startsKey         = "starts"
	nextProducerIDKey = "next producer id"
)

// begin counts a start, and gives a new data directory its cluster ID.
func begin(store *meta.Store) (id identity, err error) {
	err = store.Update(func(tx meta.Tx) error {
		id.clusterID = string(tx.Get(meta.Cluster, clusterIDKey))
		if id.clusterID == "" {
			var uuid [16]byte
			_, _ = rand.Read(uuid[:]) // never fails
			id.clusterID = base64.RawURLEncoding.EncodeToString(uuid[:])
			if err := tx.Put(meta.Cluster, clusterIDKey, []byte(id.clusterID)); err != nil {
				return err
			}
		}
		starts, err := counter(tx, startsKey)
		if err != nil {
			return err
		}
		id.starts = int32(starts) + 1
		return putCounter(tx, startsKey, int64(id.starts))
	})
	return id, err
}

// checkMeta reads all that the start will rely on, before the first byte of the directory is changed.
func checkMeta(store *meta.Store, s *settings.Broker) error {
	for _, key := range []string{startsKey, nextProducerIDKey} {
		v, err := store.Get(meta.Cluster, key)
		if err == nil {
			_, err = decodeCounter(key, v)
		}
		if err != nil {
			return err
		}
	}
	stored, err := topics.ReadStored(store)
	if err != nil {
		return err
	}
	for _, t := range stored {
		if _, err := s.Topic(t.Overrides); err != nil {
			return fmt.Errorf("%w: configuration of topic %q: %w", meta.ErrDamaged, t.Name, err)
		}
	}
	_, err = configs.ReadStored(store)
	return err
}

func counter(tx meta.Tx, key string) (int64, error) {
	return decodeCounter(key, tx.Get(meta.Cluster, key))
}

func decodeCounter(key string, v []byte) (int64, error) {
	switch len(v) {
	case 0:
		return 0, nil
	case 8:
		return int64(binary.BigEndian.Uint64(v)), nil
	}
	return 0, fmt.Errorf("%w: record %q has %d bytes", meta.ErrDamaged, key, len(v))
}

func putCounter(tx meta.Tx, key string, v int64) error {
	return tx.Put(meta.Cluster, key, binary.BigEndian.AppendUint64(nil, uint64(v)))
}

// blockStore keeps where the next block of producer IDs begins.
type blockStore struct{ store *meta.Store }

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

// gatewayOfContainer returns the gateway of the container's bridge when this process runs in one.
func gatewayOfContainer() net.IP {
	_, err := os.Stat("/.dockerenv")
	if err != nil {
		_, err = os.Stat("/run/.containerenv")
	}
	routes, _ := os.ReadFile("/proc/net/route")
	return containerGateway(err == nil, string(routes))
}
