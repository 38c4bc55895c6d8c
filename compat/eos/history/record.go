package history

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// Provenance says where a record comes from; it is the whole value of each record of a run.
//
//	0      8     12    16    20    24    28    32    40    48    52
//	run    inc   txn   seq   index count inPart inOff  id   crc32c
type Provenance struct {
	RunID       uint64
	Incarnation uint32 // writer; 0 is the feeder
	Txn         uint32 // within the incarnation, from 1; 0 outside of a transaction
	Seq         uint32 // of the record within the incarnation, dense, in send order
	Index       uint32 // within the transaction
	Count       uint32 // records in the transaction
	InPartition int32  // −1 for records of the feeder
	InOffset    int64
	ID          int64 // input id; for outputs 2·input id + 0 or 1
}

const provenanceBytes = 52

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrProvenance is returned for a value that this run's writers did not write.
var ErrProvenance = errors.New("history: damaged record value")

// Encode returns the record's value.
func (p Provenance) Encode() []byte {
	b := make([]byte, 0, provenanceBytes)
	b = binary.BigEndian.AppendUint64(b, p.RunID)
	for _, v := range []uint32{p.Incarnation, p.Txn, p.Seq, p.Index, p.Count, uint32(p.InPartition)} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(p.InOffset))
	b = binary.BigEndian.AppendUint64(b, uint64(p.ID))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Decode is the reverse of Encode; ErrProvenance if size or checksum is wrong.
func Decode(b []byte) (Provenance, error) {
	if len(b) != provenanceBytes ||
		crc32.Checksum(b[:provenanceBytes-4], castagnoli) != binary.BigEndian.Uint32(b[provenanceBytes-4:]) {
		return Provenance{}, fmt.Errorf("%w: %d bytes %x", ErrProvenance, len(b), b[:min(len(b), 64)])
	}
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	return Provenance{
		RunID: u64(0), Incarnation: u32(8), Txn: u32(12), Seq: u32(16), Index: u32(20), Count: u32(24),
		InPartition: int32(u32(28)), InOffset: int64(u64(32)), ID: int64(u64(40)),
	}, nil
}

// Flags of a LogRecord.
const (
	Transactional = 1 << iota
	Control
	CommitMarker // set on a control record that commits; clear on one that aborts
	Damaged      // the value is not one of this run's
)

// LogRecord is one record of a final log: its place, its producer and its provenance.
type LogRecord struct {
	Log           int32 // index in Config.Logs
	Flags         uint32
	ProducerEpoch int32
	Pad           uint32
	Offset        int64
	ProducerID    int64
	Provenance
}

// WriteLog writes records to a file in a fixed binary layout.
func WriteLog(name string, records []LogRecord) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range records {
		if err := binary.Write(w, binary.LittleEndian, &records[i]); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// ReadLog is the reverse of WriteLog.
func ReadLog(name string) ([]LogRecord, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	var records []LogRecord
	for {
		var rec LogRecord
		if err := binary.Read(r, binary.LittleEndian, &rec); err == io.EOF {
			return records, nil
		} else if err != nil {
			return nil, err
		}
		records = append(records, rec)
	}
}
