package inspect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"

	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/pidmanager"
)

// SegmentOptions are the options of DumpSegments.
type SegmentOptions struct {
	From, To int64 // offsets; To is not included, 0 means the end
	Records  bool  // a line for each record, too
	Values   bool  // with keys, values and headers, not only their sizes
}

// DumpSegments prints the batches of a partition.
func DumpSegments(w io.Writer, under vfs.FS, dir, partition string, o SegmentOptions) error {
	if o.To == 0 {
		o.To = math.MaxInt64
	}
	return dump(w, under, dir, func(w *bufio.Writer, d *directory) error {
		return eachBatch(d, partition, o.From, o.To, walk{
			segment: func(s segmentFile) {
				fmt.Fprintf(w, "segment file=%s base_offset=%d size_bytes=%d\n", s.name, s.base, s.sizeBytes)
			},
			batch: func(_ segmentFile, r *batchReader) error {
				printBatch(w, r)
				if o.Records || o.Values {
					printRecords(w, r, o.Values)
				}
				return nil
			},
			bad: func(s segmentFile, bad *badBatch) {
				fmt.Fprintf(w, "damaged file=%s position=%d size_bytes=%d: %v\n", s.name, bad.position, s.sizeBytes-bad.position,
					bad.cause)
			},
		})
	})
}

// walk holds the functions that eachBatch calls; nil ones are left out.
type walk struct {
	segment func(s segmentFile)
	batch   func(s segmentFile, r *batchReader) error
	bad     func(s segmentFile, bad *badBatch)
}

// eachBatch reads the batches of a partition in a range of offsets. After a bad batch it continues with the next batch,
// or else with the next segment.
func eachBatch(d *directory, partition string, from, to int64, w walk) error {
	names, err := partitionFiles(d, partition)
	if err != nil {
		return err
	}
	segments, err := listSegments(d.fs, d.path(partition), names)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	for i, s := range segments {
		if i+1 < len(segments) && segments[i+1].base <= from || s.base >= to {
			continue
		}
		if w.segment != nil {
			w.segment(s)
		}
		if err := eachBatchOf(d, partition, s, from, to, w); err != nil {
			return err
		}
	}
	return nil
}

func eachBatchOf(d *directory, partition string, s segmentFile, from, to int64, w walk) error {
	f, err := d.fs.OpenRead(d.path(partition, s.name))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	defer f.Close()
	r := newBatchReader(f, s.sizeBytes)
	for {
		err := r.next()
		var bad *badBatch
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &bad):
			if w.bad != nil {
				w.bad(s, bad)
			}
			if !r.skip(-1, math.MaxInt64) {
				return nil
			}
			continue
		case err != nil:
			return fmt.Errorf("%w: %s: %w", ErrUnreadable, s.name, err)
		}
		if r.header.BaseOffset >= to {
			return nil
		}
		if r.header.LastOffset() < from {
			continue
		}
		if err := w.batch(s, r); err != nil {
			return err
		}
	}
}

func printBatch(w io.Writer, r *batchReader) {
	h := r.header
	kind := "batch"
	m, isMarker, err := batch.ParseMarker(r.raw)
	switch {
	case isMarker:
		kind = "marker " + m.Type.String()
	case h.IsControl():
		kind = "control"
	}
	fmt.Fprintf(w, "%s base_offset=%d last_offset=%d position=%d size_bytes=%d records=%d leader_epoch=%d timestamp=%s",
		kind, h.BaseOffset, h.LastOffset(), r.position, len(r.raw), h.RecordCount, h.LeaderEpoch, timestamp(h.MaxTimestampMs))
	if h.IsLogAppendTime() {
		fmt.Fprint(w, " timestamp_type=LogAppendTime")
	}
	if h.Codec() != batch.None {
		fmt.Fprintf(w, " codec=%v", h.Codec())
	}
	if h.HasProducer() {
		fmt.Fprintf(w, " producer_id=%d producer_epoch=%d", h.ProducerID, h.ProducerEpoch)
	}
	if h.BaseSequence != batch.NoSequence {
		fmt.Fprintf(w, " base_sequence=%d last_sequence=%d", h.BaseSequence, h.LastSequence())
	}
	if h.IsTransactional() && !isMarker {
		fmt.Fprint(w, " transactional")
	}
	if isMarker {
		fmt.Fprintf(w, " coordinator_epoch=%d", m.CoordinatorEpoch)
	}
	if h.HasDeleteHorizon() {
		fmt.Fprintf(w, " delete_horizon=%s", timestamp(h.BaseTimestampMs))
	}
	if err != nil {
		fmt.Fprintf(w, " unreadable: %v", err)
	}
	fmt.Fprintf(w, " crc=%08x\n", h.CRC)
}

func printRecords(w io.Writer, r *batchReader, values bool) {
	for rec, err := range batch.Records(r.raw, DefaultMaxInflatedBytes) {
		if err != nil {
			fmt.Fprintf(w, "damaged position=%d: %v\n", r.position, err)
			return
		}
		fmt.Fprintf(w, "record offset=%d timestamp=%d", r.header.BaseOffset+int64(rec.OffsetDelta), r.header.TimestampMs(rec))
		if !values {
			fmt.Fprintf(w, " key_bytes=%s value_bytes=%s headers=%d\n", sizeOf(rec.Key), sizeOf(rec.Value), len(rec.Headers))
			continue
		}
		fmt.Fprintf(w, " key=%s value=%s", quoted(rec.Key), quoted(rec.Value))
		for _, x := range rec.Headers {
			fmt.Fprintf(w, " header=%q:%s", x.Key, quoted(x.Value))
		}
		fmt.Fprintln(w)
	}
}

// DumpIndexes prints the offset, time and transaction indexes of a partition, its transaction index
// checkpoint and its leader epochs.
func DumpIndexes(w io.Writer, under vfs.FS, dir, partition string) error {
	return dump(w, under, dir, func(w *bufio.Writer, d *directory) error {
		names, err := partitionFiles(d, partition)
		if err != nil {
			return err
		}
		err = eachFile(d, partition, names, log.IndexSuffix, func(name string, base int64, b []byte) error {
			entries, whole := log.DecodeOffsetIndex(b)
			fmt.Fprintf(w, "index file=%s entries=%d whole=%v\n", name, len(entries), whole)
			for _, e := range entries {
				fmt.Fprintf(w, "entry last_offset=%d position=%d\n", base+int64(e.RelativeOffset), e.Position)
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = eachFile(d, partition, names, log.TimeIndexSuffix, func(name string, base int64, b []byte) error {
			entries, whole := log.DecodeTimeIndex(b)
			fmt.Fprintf(w, "timeindex file=%s entries=%d whole=%v\n", name, len(entries), whole)
			for _, e := range entries {
				fmt.Fprintf(w, "entry timestamp=%s last_offset=%d\n", timestamp(e.TimestampMs), base+int64(e.RelativeOffset))
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := printTxnIndexes(w, d, partition, names); err != nil {
			return err
		}
		return printEpochs(w, d, partition)
	})
}

func printTxnIndexes(w io.Writer, d *directory, partition string, names []string) error {
	err := eachFile(d, partition, names, log.TxnIndexSuffix, func(name string, base int64, b []byte) error {
		entries, err := log.DecodeTxnIndex(b, base)
		fmt.Fprintf(w, "txnindex file=%s entries=%d\n", name, len(entries))
		for _, e := range entries {
			fmt.Fprintf(w, "entry producer_id=%d first_offset=%d last_offset=%d last_stable_offset=%d\n", e.ProducerID,
				e.FirstOffset, e.LastOffset, e.LastStableOffset)
		}
		if err != nil {
			fmt.Fprintf(w, "damaged file=%s: %v\n", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c, found, err := log.ReadTxnCheckpoint(d.fs, d.path(partition))
	switch {
	case err != nil:
		fmt.Fprintf(w, "damaged file=%s: %v\n", log.TxnCheckpointFile, err)
	case found:
		fmt.Fprintf(w, "txnindex-checkpoint complete_to=%d\n", c.CompleteTo)
		for _, s := range c.Segments {
			fmt.Fprintf(w, "entry base_offset=%d entries=%d crc=%08x\n", s.BaseOffset, s.Entries, s.CRC)
		}
	}
	return nil
}

func printEpochs(w io.Writer, d *directory, partition string) error {
	b, err := files.ReadSmall(d.fs, d.path(partition, log.EpochCheckpointFile))
	if err != nil {
		return nil // derived: it may be missing
	}
	epochs, err := log.DecodeEpochs(b)
	if err != nil {
		fmt.Fprintf(w, "damaged file=%s: %v\n", log.EpochCheckpointFile, err)
	}
	for _, e := range epochs {
		fmt.Fprintf(w, "leader_epoch leader_epoch=%d start_offset=%d\n", e.LeaderEpoch, e.StartOffset)
	}
	return nil
}

// DumpSnapshots prints the producer state snapshots of a partition.
func DumpSnapshots(w io.Writer, under vfs.FS, dir, partition string) error {
	return dump(w, under, dir, func(w *bufio.Writer, d *directory) error {
		names, err := partitionFiles(d, partition)
		if err != nil {
			return err
		}
		return eachFile(d, partition, names, log.SnapshotSuffix, func(name string, offset int64, b []byte) error {
			producers, err := pidmanager.DecodeSnapshot(b)
			if err != nil {
				fmt.Fprintf(w, "damaged file=%s: %v\n", name, err)
				return nil
			}
			fmt.Fprintf(w, "snapshot file=%s offset=%d producers=%d\n", name, offset, len(producers))
			for _, p := range producers {
				fmt.Fprintf(w, "producer producer_id=%d producer_epoch=%d last_sequence=%d last_offset=%d offset_delta=%d "+
					"timestamp=%s coordinator_epoch=%d txn_first_offset=%d\n",
					p.ProducerID, p.ProducerEpoch, p.LastSequence, p.LastOffset, p.OffsetDelta, timestamp(p.LastTimestampMs),
					p.CoordinatorEpoch, p.TxnFirstOffset)
				for _, b := range p.Older {
					fmt.Fprintf(w, "older producer_id=%d last_sequence=%d last_offset=%d offset_delta=%d timestamp=%s\n", p.ProducerID,
						b.LastSequence, b.LastOffset, b.OffsetDelta, timestamp(b.TimestampMs))
				}
			}
			return nil
		})
	})
}
