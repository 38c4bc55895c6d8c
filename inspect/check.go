package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
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

// snapshotsDirectory holds the named snapshots of a cluster.
const snapshotsDirectory = ".snapshots"

// checker is one run of Check.
type checker struct {
	*directory
	o      Options
	report Report

	cluster cluster
	topics  map[string]*topics.Stored // nil when the metadata cannot be read
	byID    map[[16]byte]string       // names of topics

	txns      *transactions
	groups    *groups
	shares    shareStates
	producers map[int64]struct{}
	ends      map[string]int64 // log end offset by partition
	progress  progress
}

// Check verifies a data directory. An error means that it could not: ErrInUse or ErrUnreadable. Damage is in the
// report; see Report.Err.
func Check(under vfs.FS, dir string, o Options) (Report, error) {
	d, err := open(under, dir)
	if err != nil {
		return Report{}, err
	}
	defer d.close()
	c := newChecker(d, o.withDefaults())
	c.metadata()
	c.barrierRecords()
	logs := c.directories()
	if err := c.logs(logs); err != nil {
		return c.report, err
	}
	c.groups.finish()
	c.report.Counters.Producers, c.report.Counters.Groups = len(c.producers), c.groups.count()
	c.report.sortFindings()
	return c.report, nil
}

func newChecker(d *directory, o Options) *checker {
	c := &checker{directory: d, o: o, producers: map[int64]struct{}{}, ends: map[string]int64{}}
	c.txns, c.groups, c.shares = newTransactions(c), newGroups(c), shareStates{}
	return c
}

func (c *checker) find(s Severity, file string, position int64, partition, format string, args ...any) {
	c.report.add(Finding{s, file, position, partition, fmt.Sprintf(format, args...)}, c.o.MaxFindings)
}

// metadata reads the metadata, which no log can replace (spec: reliability P11).
func (c *checker) metadata() {
	if errors.Is(c.metaErr, fs.ErrNotExist) {
		c.find(Damage, metaFile, -1, "", "metadata is missing beside what it belongs to")
		return
	}
	err := c.metaErr
	if err == nil {
		c.cluster, err = readCluster(c.store)
	}
	var stored []topics.Stored
	if err == nil {
		stored, err = topics.ReadStored(c.store)
	}
	if err == nil {
		_, err = configs.ReadStored(c.store)
	}
	if err != nil {
		position := int64(-1)
		if damaged := (*meta.DamagedError)(nil); errors.As(err, &damaged) {
			position = damaged.Position
		}
		c.find(Damage, metaFile, position, "", "%v", err)
		return
	}
	if version := c.store.Version(); version < meta.FormatVersion {
		c.find(Note, metaFile, -1, "", "format version %d, which has no checksums; the next start makes it version %d",
			version, meta.FormatVersion)
	}
	c.topics = make(map[string]*topics.Stored, len(stored))
	c.byID = make(map[[16]byte]string, len(stored))
	for i := range stored {
		t := &stored[i]
		c.topics[t.Name], c.byID[t.ID] = t, t.Name
		if int64(t.CreatedAtStart) > c.cluster.starts {
			c.find(Damage, metaFile, -1, "", "topic %q: created_at_start=%d, starts=%d",
				t.Name, t.CreatedAtStart, c.cluster.starts)
		}
	}
	for _, name := range []string{topics.ConsumerOffsets, topics.TransactionState} {
		if c.topics[name] == nil {
			c.find(Note, metaFile, -1, "", "topic %q does not exist; the next start creates it", name)
		}
	}
}

// barrierRecords checks the two records (spec: reliability 2.1).
func (c *checker) barrierRecords() {
	logs := slices.ContainsFunc(c.names, log.IsLogDirectory)
	var damaged *files.DamagedError
	for i := range c.barriers {
		s := &c.barriers[i]
		switch {
		case s.Err == nil, errors.Is(s.Err, fs.ErrNotExist):
		case errors.Is(s.Err, files.ErrFormat):
			c.find(Damage, s.File, 4, "", "%v: the next start refuses the directory", s.Err)
		case errors.As(s.Err, &damaged) && c.barrier != nil && !c.barrier.Clean:
			c.find(Note, s.File, damaged.Position, "", "record is torn: %v; the other one counts", damaged.Cause)
		case errors.As(s.Err, &damaged) && c.barrier != nil:
			c.find(Warning, s.File, damaged.Position, "", "record is damaged: %v; the other one counts", damaged.Cause)
		case errors.As(s.Err, &damaged):
			c.find(Damage, s.File, damaged.Position, "", "record is damaged and there is no other: %v", damaged.Cause)
		default:
			c.find(Damage, s.File, -1, "", "cannot be read: %v", s.Err)
		}
	}
	if c.barrier == nil {
		if logs {
			c.find(Damage, c.barriers[0].File, -1, "", "no barrier record beside logs: nobody can tell which bytes to trust")
		}
		return
	}
	if !c.barrier.Clean {
		c.find(Note, c.barrier.File, -1, "", "the last stop was not a clean one: mode=%s same_boot=%v", c.barrier.Mode,
			c.barrier.BootID == c.o.BootID)
	}
	for _, name := range sortedKeys(c.barrier.Entries) {
		c.barrierEntry(name, c.barrier.Entries[name])
	}
	c.journal()
}

// journal checks the journal of the newest record (spec: reliability 2.1). Unless the machine went down, all of its
// batches are in the logs, too.
func (c *checker) journal() {
	var damaged *files.DamagedError
	severity := Damage
	if c.barrier.BootID == c.o.BootID && !c.barrier.Restore {
		severity = Warning
	}
	switch {
	case errors.As(c.journalErr, &damaged):
		c.find(severity, durability.JournalFile, damaged.Position, "", "journal is damaged: %v", damaged.Cause)
	case errors.Is(c.journalErr, files.ErrFormat):
		c.find(severity, durability.JournalFile, -1, "", "journal cannot be read: %v", c.journalErr)
	case c.journalErr != nil:
		c.find(Damage, durability.JournalFile, -1, "", "journal cannot be read: %v", c.journalErr)
	case len(c.journaled) > 0:
		c.find(Note, durability.JournalFile, -1, "",
			"%d batches have been appended since the last barrier record; the next start appends those that are missing",
			len(c.journaled))
	}
}

// barrierEntry compares an entry with the topics and with what is on disk.
func (c *checker) barrierEntry(name string, e durability.RecordEntry) {
	topic, index, err := splitPartition(name)
	if err != nil {
		c.find(Damage, c.barrier.File, -1, "", "entry of %q, which is no partition", name)
		return
	}
	if c.topics == nil {
		return
	}
	t := c.topics[topic]
	if t == nil || t.ID != e.TopicID && e.TopicID != [16]byte{} || index >= t.Partitions {
		c.find(Note, c.barrier.File, -1, name, "entry of a partition that does not exist any more")
		return
	}
	if !slices.Contains(c.names, name) && e.RecoveryPoint > e.StartOffset {
		c.txns.partial = c.txns.partial || topic == topics.TransactionState
		c.find(Damage, name, -1, name, "directory is missing; offsets %d to %d were stored", e.StartOffset, e.RecoveryPoint-1)
	}
}

// directories compares the names in the data directory with the topics and returns the logs to check.
func (c *checker) directories() (logs []string) {
	for _, name := range c.names {
		switch {
		case name == metaFile, name == lockFile, name == c.barriers[0].File, name == c.barriers[1].File,
			name == durability.JournalFile:
		case log.IsLogDirectory(name):
			if c.belongs(name) {
				logs = append(logs, name)
			}
		case name == snapshotsDirectory: // each is a data directory of its own
		case strings.HasSuffix(name, log.DeleteSuffix):
			c.find(Note, name, -1, "", "remains of a deleted partition; a start after an unclean stop removes them")
		case strings.HasSuffix(name, log.StraySuffix):
			c.find(Note, name, -1, "", "log that an earlier start found to belong to no topic and moved aside")
		default:
			c.find(Note, name, -1, "", "not a file of the broker's")
		}
	}
	for _, j := range c.journaled { // logs whose names were lost: the next start makes them
		topic, index, err := splitPartition(j.DirBase)
		if err != nil || slices.Contains(c.names, j.DirBase) || slices.Contains(logs, j.DirBase) {
			continue
		}
		if t := c.topics[topic]; c.topics == nil || t != nil && t.ID == j.TopicID && index < t.Partitions {
			logs = append(logs, j.DirBase)
		}
	}
	return logs
}

// belongs says whether a directory is to be checked as the log of a topic's partition.
func (c *checker) belongs(name string) bool {
	topic, index, _ := splitPartition(name)
	if c.topics == nil {
		return true
	}
	b, err := files.ReadSmall(c.fs, c.path(name, log.MetadataFile))
	id, derr := log.DecodeMetadata(b)
	t := c.topics[topic]
	owner := c.byID[id]
	readable, exists := err == nil && derr == nil, t != nil && index < t.Partitions
	// A copy beside the original directory shows nothing about the metadata.
	copied := owner != topic && slices.Contains(c.directory.names, partitionName(owner, index))
	switch {
	case readable && owner != "" && (owner != topic || !exists) && !copied:
		c.txns.partial = c.txns.partial || topic == topics.TransactionState
		c.find(Damage, path.Join(name, log.MetadataFile), -1, name,
			"log belongs to topic id %x, which is that of topic %q with %d partitions in %s",
			id, owner, c.topics[owner].Partitions, metaFile)
		return false
	case readable && exists && t.ID != id:
		c.txns.partial = c.txns.partial || topic == topics.TransactionState
		c.find(Damage, path.Join(name, log.MetadataFile), -1, name, "log belongs to topic id %x, topic %q has %x", id, topic,
			t.ID)
		return false
	case !exists:
		severity := Warning
		switch {
		case c.store.Version() < meta.FormatVersion:
			severity = Damage // the next start refuses to upgrade metadata that may lack topics
		case c.barrier != nil && !c.barrier.Clean:
			severity = Note // a deletion that was cut off
		}
		c.find(severity, name, -1, name, "orphan: log of topic id %x, which has no such partition", id)
		return false
	}
	return true
}

// logs checks all partitions: the transaction log first, because all others are compared with it.
func (c *checker) logs(names []string) error {
	c.progress = newProgress(c.o, c.totalBytes(names))
	rank := func(name string) int {
		if topic, _, _ := splitPartition(name); topic == topics.TransactionState {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	loaded := false
	for _, name := range names {
		if rank(name) == 1 && !loaded {
			c.txns.loaded()
			loaded = true
		}
		if err := c.log(name); err != nil {
			return err
		}
	}
	if !loaded {
		c.txns.loaded()
	}
	return nil
}

func (c *checker) log(name string) error {
	p := newPartitionCheck(c, name)
	err := p.run()
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if err != nil {
		p.find(Damage, "", -1, "cannot be read: %v", err)
	}
	return nil
}

func (c *checker) totalBytes(names []string) (total int64) {
	for _, name := range names {
		files, _ := c.fs.List(c.path(name))
		for _, file := range files {
			if strings.HasSuffix(file, log.LogSuffix) {
				if st, err := c.fs.Stat(c.path(name, file)); err == nil {
					total += st.SizeBytes
				}
			}
		}
	}
	return total
}

// progress prints the progress of long work.
type progress struct {
	o           Options
	total, done int64
	next        time.Time
}

func newProgress(o Options, total int64) progress {
	return progress{o: o, total: total, next: o.Clock.Now().Add(progressInterval)}
}

func (p *progress) add(bytes int64, where string) {
	p.done += bytes
	if p.o.Progress == nil {
		return
	}
	if now := p.o.Clock.Now(); now.After(p.next) {
		p.next = now.Add(progressInterval)
		fmt.Fprintf(p.o.Progress, "checking partition=%s bytes_done=%d bytes_total=%d\n", where, p.done, p.total)
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
