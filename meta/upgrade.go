package meta

import (
	"errors"

	bolt "go.etcd.io/bbolt"
)

// upgrade makes a file of this version of one of version 1, in one change: it is of one or the other at any time.
// A value of version 1 has no checksum, so check has to decide by its content.
func (s *File) upgrade(check func(Tx) error) error {
	s.version = FormatVersion
	return s.commit(func(tx *bolt.Tx) error {
		var sum summary
		if err := s.guard(func() error { return errors.Join(makeBuckets(tx), sealAll(tx, &sum)) }); err != nil {
			return err
		}
		if check != nil {
			if err := check(fileTx{store: s, tx: tx, sum: &sum}); err != nil {
				return err
			}
		}
		return s.guard(func() error { return writeOwn(tx, sum) })
	})
}

// sealAll gives every record a checksum.
func sealAll(tx *bolt.Tx, sum *summary) error {
	type record struct {
		bucket Bucket
		key    string
		value  []byte
	}
	var all []record // a bucket is not to be changed while it is gone through
	err := tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
		return bucket.ForEach(func(k, v []byte) error {
			if b := Bucket(name); !isOwn(b, string(k)) {
				all = append(all, record{b, string(k), append([]byte{}, v...)})
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, r := range all {
		sum.add(r.bucket, r.key, r.value)
		if err := tx.Bucket([]byte(r.bucket)).Put([]byte(r.key), seal(r.bucket, r.key, r.value)); err != nil {
			return err
		}
	}
	return nil
}
