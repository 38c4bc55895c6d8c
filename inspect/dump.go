package inspect

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"once/configs"
	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/meta"
	"once/topics"
)

// Dumps print one line an item: its kind, then key=value in Kafka's words. Strings from clients are quoted. Damage is
// printed at its place, and the dump continues after it if it can.

// dump opens a directory and prints into a buffer.
func dump(w io.Writer, under vfs.FS, dir string, print func(w *bufio.Writer, d *directory) error) error {
	d, err := open(under, dir)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	err = print(out, d)
	return errors.Join(err, out.Flush(), d.close())
}

// timestamp is a timestamp of the log, as a number and in readable form.
func timestamp(ms int64) string {
	if ms < 0 {
		return fmt.Sprint(ms)
	}
	return fmt.Sprintf("%d(%s)", ms, time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z"))
}

// uuid is a topic ID as Kafka prints it.
func uuid(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// DumpMeta prints the metadata: identity, topics, settings of topics, groups and client metrics, and unknown records.
func DumpMeta(w io.Writer, under vfs.FS, dir string) error {
	return dump(w, under, dir, func(w *bufio.Writer, d *directory) error {
		if d.metaErr != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, d.metaErr)
		}
		c, err := readCluster(d.store)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		fmt.Fprintf(w, "cluster cluster_id=%s starts=%d next_producer_id=%d format_version=%d\n", c.clusterID, c.starts,
			c.nextProducerID, d.store.Version())
		stored, err := topics.ReadStored(d.store)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		for _, t := range stored {
			fmt.Fprintf(w, "topic topic=%s topic_id=%s partitions=%d created_at_start=%d\n", t.Name, uuid(t.ID), t.Partitions,
				t.CreatedAtStart)
			for _, name := range sortedKeys(t.Overrides) {
				fmt.Fprintf(w, "config topic=%s %s=%q\n", t.Name, name, t.Overrides[name])
			}
		}
		others, err := configs.ReadStored(d.store)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		for _, r := range others {
			for _, name := range sortedKeys(r.Values) {
				fmt.Fprintf(w, "config %s=%q %s=%q\n", r.Kind, r.Name, name, r.Values[name])
			}
		}
		return d.store.Keys(func(b meta.Bucket, key string, value []byte) error {
			known := b == meta.Topics || b == meta.GroupConfigs || b == meta.ClientMetricsConfigs || b == meta.BrokerConfigs ||
				b == meta.Cluster && (key == clusterIDKey || key == startsKey || key == nextProducerIDKey)
			if !known {
				fmt.Fprintf(w, "record bucket=%s key=%q size_bytes=%d\n", b, key, len(value))
			}
			return nil
		})
	})
}

// DumpBarrier prints both barrier records, says which one is used, and lists the batches of the journal.
func DumpBarrier(w io.Writer, under vfs.FS, dir string) error {
	return dump(w, under, dir, func(w *bufio.Writer, d *directory) error {
		for i := range d.barriers {
			s := &d.barriers[i]
			if s.Err != nil {
				fmt.Fprintf(w, "barrier file=%s unreadable: %v\n", s.File, s.Err)
				continue
			}
			fmt.Fprintf(w, "barrier file=%s counts=%v sequence=%d clean=%v mode=%s boot_id=%s entries=%d\n",
				s.File, s == d.barrier, s.Sequence, s.Clean, s.Mode, s.BootID, len(s.Entries))
			if s != d.barrier {
				continue
			}
			for _, name := range sortedKeys(s.Entries) {
				e := s.Entries[name]
				fmt.Fprintf(w, "entry partition=%s recovery_point=%d log_start_offset=%d topic_id=%s cut=%v\n",
					name, e.RecoveryPoint, e.StartOffset, uuid(e.TopicID), e.Cut)
			}
		}
		if d.journalErr != nil {
			fmt.Fprintf(w, "journal file=%s unreadable: %v\n", durability.JournalFile, d.journalErr)
		}
		for _, j := range d.journaled {
			fmt.Fprintf(w, "journal position=%d partition=%s topic_id=%s base_offset=%d last_offset=%d size_bytes=%d\n",
				j.Position, j.DirBase, uuid(j.TopicID), j.Header.BaseOffset, j.Header.LastOffset(), len(j.Raw))
		}
		return nil
	})
}

// partitionFiles lists the directory of a partition.
func partitionFiles(d *directory, partition string) ([]string, error) {
	if _, _, err := splitPartition(partition); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	names, err := d.fs.List(d.path(partition))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return names, nil
}

// eachFile calls f with every file of one kind and its offset.
func eachFile(d *directory, partition string, names []string, suffix string,
	f func(name string, offset int64, content []byte) error) error {
	for _, name := range names {
		offset, s, ok := log.ParseFileName(name)
		if !ok || s != suffix {
			continue
		}
		b, err := files.ReadSmall(d.fs, d.path(partition, name))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		if err := f(name, offset, b); err != nil {
			return err
		}
	}
	return nil
}

// quoted is a key or value: null, or as a Go string.
func quoted(b []byte) string {
	if b == nil {
		return "null"
	}
	return fmt.Sprintf("%q", b)
}

func sizeOf(b []byte) string {
	if b == nil {
		return "null"
	}
	return fmt.Sprint(len(b))
}

func joined[T fmt.Stringer](items []T) string {
	words := make([]string, len(items))
	for i, x := range items {
		words[i] = x.String()
	}
	return "[" + strings.Join(words, " ") + "]"
}
