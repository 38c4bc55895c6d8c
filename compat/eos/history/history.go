// Package history is what a run of the checker leaves behind: one append-only file of events for each
// process, the final logs as read at the end, and the provenance that every record carries.
//
// An event is written with one write(2) before the call it announces and again after it, so a process
// killed in between leaves a call of unknown outcome, never a wrong one. Used by agent and driver
// (writing) and verify (reading); knows nothing of Kafka's protocol.
package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
)

// Kinds of events. A kind that ends in "?" stands before its call, one that ends in "!" after it.
const (
	KindRun       = "run"     // driver: the run's Config
	KindKill      = "kill"    // driver: the broker was killed
	KindCleaner   = "cleaner" // driver: what the broker's cleaner had done until it was killed
	KindReady     = "ready"   // driver: the broker answers again
	KindFinal     = "final"   // driver: state after heal
	KindStart     = "start"   // agent: process started
	KindInitCall  = "init?"   // copier: InitProducerId
	KindInitDone  = "init!"   //
	KindTxn       = "txn"     // copier: about to begin a transaction over these input ranges
	KindAcks      = "acks"    // feeder, copier: produce results with offsets
	KindFail      = "fail"    // feeder, copier: produce results without an offset
	KindEndCall   = "end?"    // copier: about to end; Commit says what was asked for
	KindEndDone   = "end!"    // copier: Outcome
	KindProbe     = "probe"   // copier: after a commit, what ListOffsets and OffsetFetch say
	KindPoll      = "poll"    // watcher: records of one partition as polled
	KindNote      = "note"    // anything worth reading by hand
	KindTwinCall  = "twin?"   // copier: a twin takes over the transactional id …
	KindTwinDone  = "twin!"   // … and has got its producer id
	KindFeedRange = "feed?"   // feeder: about to send input ids [From, To)
	KindStuck     = "stuck"   // copier: a call that does not come back
	KindDice      = "dice"    // copier: fate drawn for the transaction
	KindExit      = "exit"    // agent: leaves on its own
	KindKeepCall  = "keep?"   // keeper: about to commit offset To for all partitions of group From
	KindKeepDone  = "keep!"   // keeper: that was answered
	KindOffsets   = "offsets" // keeper: the Offsets that group From has; Count of them have metadata of another
	KindIDs       = "ids"     // keeper: InitProducerId of transactional ids From, From+1 …; −1 is a failure
	KindKept      = "kept"    // keeper: at the end, everything has been read once more
	KindFindings  = "found"   // driver: the Findings of the broker since its last start
)

// Outcomes of an end call, as far as its caller knows.
const (
	Committed = "committed"
	Aborted   = "aborted"
	Unknown   = "unknown"
)

// EmptyFate is the text of the dice for a transaction without a record.
const EmptyFate = "empty"

// Event is one line of a history. Which fields are set depends on Kind. Times are nanoseconds of Now.
type Event struct {
	TimeNs      int64  `json:"t"`
	StartNs     int64  `json:"t0,omitempty"` // probe: when its requests were sent
	Kind        string `json:"k"`
	Incarnation uint32 `json:"i,omitempty"` // dense over the run; 0 is the feeder
	Txn         uint32 `json:"x,omitempty"` // dense within an incarnation, from 1

	TransactionalID string `json:"tid,omitempty"`
	ProducerID      int64  `json:"pid,omitempty"`
	ProducerEpoch   int16  `json:"pe,omitempty"`

	Commit  bool   `json:"c,omitempty"`
	Outcome string `json:"o,omitempty"`
	Text    string `json:"m,omitempty"`
	Count   int    `json:"n,omitempty"`
	From    int64  `json:"from,omitempty"`
	To      int64  `json:"to,omitempty"`

	// acks, poll: parallel arrays. Log indexes Config.Logs; Inc is empty when all are Incarnation's.
	Log     []int32  `json:"l,omitempty"`
	Offsets []int64  `json:"f,omitempty"`
	Inc     []uint32 `json:"ri,omitempty"`
	Seq     []uint32 `json:"rs,omitempty"`

	// poll: of the fetch that brought the records. probe: Log/Offsets are last stable offsets, and
	// Need what the transaction wrote last; InParts/InOffsets the group's committed offsets, InNeed
	// what the transaction committed.
	ReadCommitted    bool    `json:"rc,omitempty"`
	HighWatermark    int64   `json:"hw,omitempty"`
	LastStableOffset int64   `json:"lso,omitempty"`
	Need             []int64 `json:"need,omitempty"`
	InParts          []int32 `json:"ip,omitempty"`
	InOffsets        []int64 `json:"if,omitempty"`
	InNeed           []int64 `json:"in,omitempty"`

	ProducerIDs    []int64 `json:"pids,omitempty"` // ids
	ProducerEpochs []int16 `json:"pes,omitempty"`

	Cleaner  *Cleaner  `json:"cleaner,omitempty"`
	Findings []Finding `json:"findings,omitempty"`

	Config *Config `json:"config,omitempty"`
	Final  *Final  `json:"final,omitempty"`
}

// Config is what all processes of a run agree on.
type Config struct {
	RunID     uint64 `json:"run_id"`
	Seed      int64  `json:"seed"`
	Records   int64  `json:"records"`
	Logs      []Log  `json:"logs"` // the partitions of `in` come first
	InParts   int32  `json:"in_parts"`
	OutParts  int32  `json:"out_parts"`
	Group     string `json:"group"`
	Own       bool   `json:"own"` // the broker makes the promise of C17
	Bootstrap string `json:"bootstrap"`
	TimeoutMs int64  `json:"timeout_ms"` // transaction timeout
	ExpiryMs  int64  `json:"expiry_ms"`  // how long the broker may take to notice a timeout
	SessionMs int64  `json:"session_ms"`

	KeptTopic  string `json:"kept_topic"` // of the keeper's groups
	KeptParts  int32  `json:"kept_parts"`
	KeptGroups int32  `json:"kept_groups"`
	KeptIDs    int32  `json:"kept_ids"` // transactional ids of the keeper

	Cleans  bool `json:"cleans"`  // the run is to show that the internal topics were compacted between the kills
	Judges  bool `json:"judges"`  // the broker has a lab: it says what it noticed, and judges the copiers itself
	Correct bool `json:"correct"` // the copiers do nothing that it has to notice
}

// Finding is something that the broker noticed about its clients.
type Finding struct {
	Code            string
	Sentence        string
	TransactionalID string
	Count           int64
}

// Verdict is the broker's own judgement of the copiers, for one output topic.
type Verdict struct {
	Output     string
	OK         bool
	Inputs     int
	Outputs    int
	Missing    []Placed
	Duplicated []Placed
	OutOfOrder []Placed
	Unknown    []Placed
}

// Placed is a record that a verdict names.
type Placed struct {
	Partition int32
	Offset    int64
	ID        string
}

// Log is one topic partition of the run.
type Log struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

func (l Log) String() string { return fmt.Sprintf("%s-%d", l.Topic, l.Partition) }

// Final is the state of the broker after heal, as its clients see it.
type Final struct {
	GroupOffsets      []int64  `json:"group_offsets"` // by input partition
	HighWatermarks    []int64  `json:"high_watermarks"`
	LastStableOffsets []int64  `json:"last_stable_offsets"`
	OpenTransactions  []string `json:"open_transactions"`
	Finished          bool     `json:"finished"` // the group reached the end in time
	Text              string   `json:"text,omitempty"`

	Verdicts []Verdict `json:"verdicts,omitempty"` // of the broker: on out, then on audit
}

// Writer appends events to one file. Safe for concurrent use. Errors are kept and returned by Close: a
// history that lost an event cannot be judged.
type Writer struct {
	mu   sync.Mutex
	file *os.File
	err  error
}

// Create makes the file name.jsonl in dir; it must not exist.
func Create(dir, name string) (*Writer, error) {
	f, err := os.OpenFile(filepath.Join(dir, name+".jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &Writer{file: f}, nil
}

// Write appends e, stamped with Now unless it has a time already.
func (w *Writer) Write(e Event) {
	if e.TimeNs == 0 {
		e.TimeNs = Now()
	}
	line, err := json.Marshal(e)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		_, err = w.file.Write(append(line, '\n'))
	}
	if w.err == nil {
		w.err = err
	}
}

// Close returns the first error of any Write.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.file.Close(); w.err == nil {
		w.err = err
	}
	return w.err
}

// ReadDir returns the events of all histories in dir by time. A torn last line, left by a process that
// was killed while writing, is dropped.
func ReadDir(dir string) ([]Event, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		d := json.NewDecoder(bufio.NewReaderSize(f, 1<<20))
		for d.More() {
			var e Event
			if err := d.Decode(&e); err != nil {
				break
			}
			all = append(all, e)
		}
		f.Close()
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].TimeNs < all[j].TimeNs })
	return all, nil
}
