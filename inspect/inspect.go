// Package inspect reads the data directory of a stopped broker: Check verifies it against the broker's promises, the
// Dump functions print it, PlanRepair plans the repair of damage.
//
// It never changes anything. The directory is read through a file system that can only read, and the metadata is opened
// for reading; a directory on a read-only disk is fine. It takes the directory's lock, so that no broker can start
// meanwhile, and fails with ErrInUse when one runs. It recovers nothing, but knows what the next start would do: bytes
// that the start will truncate are reported as such, and everything else is checked as it will be after the start.
//
// Batches, barrier records, metadata and the coordinators' records cannot be rebuilt: a contradiction in or between
// them is damage. An error in a derived file that the next start would notice is a warning: the file can be deleted. An
// error in a derived file that the next start would accept is damage, too.
//
// Anyone may call it: the commands check and dump do, repair does, and tests, through inspecttest.
package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"once/internal/clock"
	"once/internal/vfs"
)

var (
	// ErrDamaged: the directory was read and is damaged; a Report says where.
	ErrDamaged = errors.New("data directory is damaged")
	// ErrInUse: a broker runs on the directory, or another inspection does.
	ErrInUse = errors.New("data directory is in use")
	// ErrUnreadable: there is no such directory, it is not that of a broker, or it may not be read.
	ErrUnreadable = errors.New("data directory cannot be read")
)

const (
	// DefaultMaxInflatedBytes is the largest decompressed size of a batch that is read. The broker's limit is not
	// higher.
	DefaultMaxInflatedBytes = 256 << 20
	// DefaultProducerIDExpiration is producer.id.expiration.ms: a producer that was silent for that long may have been
	// forgotten, and a gap in its sequences is no damage.
	DefaultProducerIDExpiration = 24 * time.Hour
	// DefaultMaxFindings bounds the findings in a report: one broken disk can cause millions.
	DefaultMaxFindings = 10_000
	// progressInterval is the time between two lines of progress.
	progressInterval = 3 * time.Second
	// maxRecordBytes bounds the records of the internal topics when they are compressed.
	maxRecordBytes = 64 << 20
)

// Options are the options of Check. The zero value is fine.
type Options struct {
	BootID               string        // of the kernel that the next start would run under; "" means this one's
	MaxInflatedBytes     int           // 0 means DefaultMaxInflatedBytes
	ProducerIDExpiration time.Duration // 0 means DefaultProducerIDExpiration
	MaxFindings          int           // 0 means DefaultMaxFindings; more are counted only
	Progress             io.Writer     // a line every few seconds; nil means none
	Clock                clock.Clock   // for Progress; nil means the machine's
}

func (o Options) withDefaults() Options {
	o.BootID = cmp.Or(o.BootID, vfs.BootID())
	o.MaxInflatedBytes = cmp.Or(o.MaxInflatedBytes, DefaultMaxInflatedBytes)
	o.ProducerIDExpiration = cmp.Or(o.ProducerIDExpiration, DefaultProducerIDExpiration)
	o.MaxFindings = cmp.Or(o.MaxFindings, DefaultMaxFindings)
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	return o
}

// Severity is the severity of a finding.
type Severity uint8

// The severities.
const (
	Note    Severity = iota // worth knowing, as it should be
	Warning                 // wrong, but the next start notices it and loses nothing
	Damage                  // a promise is broken, or would be by the next start
)

// String is the severity as a report prints it.
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	}
	return "damage"
}

// Finding is one result of Check.
type Finding struct {
	Severity  Severity
	File      string // path within the data directory; "" for none
	Position  int64  // byte in File; -1 for none
	Partition string // topic-index; "" for none
	Message   string
}

// String is the finding in one line: severity, file, position, partition, message.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.Severity.String())
	if f.File != "" {
		fmt.Fprintf(&b, " file=%s", f.File)
	}
	if f.Position >= 0 {
		fmt.Fprintf(&b, " position=%d", f.Position)
	}
	if f.Partition != "" {
		fmt.Fprintf(&b, " partition=%s", f.Partition)
	}
	return b.String() + ": " + f.Message
}

// Counters count what Check has read.
type Counters struct {
	Partitions, Segments   int // partitions that have a directory
	Batches, Records       int64
	Bytes                  int64 // of segments
	Transactions           int64 // decided or open, as the transaction log has them
	Hanging                int   // transactions open in a partition that the transaction log does not have open there
	Producers, Groups      int
	Damage, Warning, Notes int // findings, also those that the report does not keep
}

// Report is the result of Check, in the order of files. Findings of one partition stand together.
type Report struct {
	Findings []Finding
	Counters Counters
	Omitted  int // findings that were counted and not kept
}

// Err is ErrDamaged when there is damage, else nil.
func (r *Report) Err() error {
	if r.Counters.Damage == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d findings", ErrDamaged, r.Counters.Damage)
}

// Write prints the findings, one a line, and a summary.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintln(&b, f)
	}
	if r.Omitted > 0 {
		fmt.Fprintf(&b, "note: %d more findings are not shown\n", r.Omitted)
	}
	c := r.Counters
	fmt.Fprintf(&b, "checked partitions=%d segments=%d batches=%d records=%d bytes=%d transactions=%d hanging=%d "+
		"producers=%d groups=%d\n",
		c.Partitions, c.Segments, c.Batches, c.Records, c.Bytes, c.Transactions, c.Hanging, c.Producers, c.Groups)
	verdict := "clean"
	if c.Damage > 0 {
		verdict = "damaged"
	}
	fmt.Fprintf(&b, "%s damage=%d warnings=%d notes=%d\n", verdict, c.Damage, c.Warning, c.Notes)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) add(f Finding, limit int) {
	switch f.Severity {
	case Note:
		r.Counters.Notes++
	case Warning:
		r.Counters.Warning++
	case Damage:
		r.Counters.Damage++
	}
	if len(r.Findings) >= limit {
		r.Omitted++
		return
	}
	r.Findings = append(r.Findings, f)
}

// sortFindings puts the worst first and keeps the order of discovery otherwise.
func (r *Report) sortFindings() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
}
