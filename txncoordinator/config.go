package txncoordinator

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/durability"
	"once/internal/clock"
	"once/internal/fault"
	"once/log/batch"
)

// StateLog is the coordinator's view of one partition of __transaction_state.
type StateLog interface {
	// AppendCoordinator appends a batch. After an error it must not count as written; the next start may still find it
	// if the state log refuses further appends until then. answer is the kind of answer that depends on the batch.
	AppendCoordinator(raw []byte, answer durability.Answer) (Appended, error)
	// Scan calls fn with each whole batch from one offset up to another, in order. raw is valid during the call.
	Scan(from, to int64, fn func(h batch.Header, raw []byte) error) error
	LogStartOffset() int64
	LogEndOffset() int64
	// LeaderEpoch is the coordinator epoch of the IDs in this partition; it must grow at every start.
	LeaderEpoch() int32
}

// Appended is the result of an append.
type Appended struct {
	BaseOffset int64
	Durable    durability.Ticket // what the answer waits for
}

// Participant takes markers: a data partition, or a group's offsets.
type Participant interface {
	// ApplyMarker ends the transaction there. When it returns nil the marker is in the log, and the
	// offsets of the transaction, if there are any, are visible or gone.
	ApplyMarker(m batch.Marker, transactionVersion int16) error
	// HasOpenTransaction says whether there are records of the producer's open transaction.
	HasOpenTransaction(producerID int64) bool
}

// Observer is told what becomes of transactions. No lock is held during its calls, and requests wait for them.
type Observer interface {
	// TransactionBegan says that the first partitions were added to a transaction.
	TransactionBegan(transactionalID string)
	// TransactionEnded says that the end of an open transaction is decided.
	TransactionEnded(e End)
}

// End is the end of a transaction.
type End struct {
	TransactionalID string
	Began           time.Time // by the cluster's clock, as is Open
	Open            time.Duration
	Timeout         time.Duration
	How             string // committed, aborted, timed out, fenced
	ByClient        bool   // with EndTxn
	Empty           bool   // it was committed, and no partition has a record of it
}

// Config is the configuration of a Coordinator. Zero values mean the default in brackets.
type Config struct {
	Partitions  int32                              // of __transaction_state, fixed for ever [50]
	StateLogs   func(partition int32) StateLog     // called once a partition, by Load; required
	ProducerIDs interface{ Next() (int64, error) } // required
	// Participants returns the participant for a partition; false: its topic does not exist. Required.
	Participants func(topic string, partition int32) (Participant, bool)
	// Refused says that a marker error is final: the partition has a newer epoch of the producer or of the coordinator.
	// Only a defect leads there; the ID stays busy until the next start. [none is]
	Refused func(error) bool
	// TransactionVersion is the finalized level of the feature transaction.version, 0 to 2. [2]
	TransactionVersion func() int16

	MaxTimeoutMs   int32         // transaction.max.timeout.ms [900,000]
	IDExpiration   time.Duration // transactional.id.expiration.ms [7 days]
	AbortInterval  time.Duration // between two looks for timeouts [10 s]
	RemoveInterval time.Duration // between two looks for unused IDs [1 h]
	// between two attempts of EnlistAgain; add.partitions.to.txn.retry.backoff.ms [20 ms]
	AddRetryInterval    time.Duration
	AddRetryLimit       time.Duration // for all of them; add.partitions.to.txn.retry.backoff.max.ms [none are made]
	MaxTransactionalIDs int64         // held in memory at most; more are refused [1,000,000, about 400 MB]
	// largest record batch, inflated, that Load reads; its own are not compressed [64 MiB]
	MaxInflatedBytes int

	// Ended is closed when waits in EnlistAgain must end. [never]
	Ended <-chan struct{}

	Clock    clock.Clock  // the cluster's: timeouts, expiry, timestamps [clock.Real]
	RealTime clock.Clock  // retries of markers, durations of metrics [clock.Real]
	Logger   *slog.Logger // [discards]
	// KeepTransitions remembers the last transitions of each ID, see Transitions.
	KeepTransitions bool
	Observer        Observer              // of transactions [none]
	Faults          *fault.Points         // [none]
	Registerer      prometheus.Registerer // [no metrics]
}

// The defaults of Config that are sizes.
const (
	defaultPartitions          = 50
	defaultMaxTransactionalIDs = 1_000_000
	defaultMaxTimeoutMs        = 900_000
	defaultMaxInflatedBytes    = 64 << 20
)

// withDefaults fills in the defaults and reports all errors at once.
func (cfg Config) withDefaults() (Config, error) {
	var errs []error
	require := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("txncoordinator: "+what))
		}
	}
	require(cfg.StateLogs != nil, "StateLogs is missing")
	require(cfg.ProducerIDs != nil, "ProducerIDs is missing")
	require(cfg.Participants != nil, "Participants is missing")
	orDefault(&cfg.Partitions, defaultPartitions)
	orDefault(&cfg.MaxTimeoutMs, defaultMaxTimeoutMs)
	orDefault(&cfg.IDExpiration, 7*24*time.Hour)
	orDefault(&cfg.AbortInterval, 10*time.Second)
	orDefault(&cfg.RemoveInterval, time.Hour)
	orDefault(&cfg.AddRetryInterval, 20*time.Millisecond)
	orDefault(&cfg.MaxTransactionalIDs, defaultMaxTransactionalIDs)
	orDefault(&cfg.MaxInflatedBytes, defaultMaxInflatedBytes)
	require(cfg.Partitions > 0, "Partitions is not above zero")
	require(cfg.MaxTimeoutMs > 0, "MaxTimeoutMs is not above zero")
	require(cfg.MaxTransactionalIDs > 0 && cfg.MaxInflatedBytes > 0, "a limit is not above zero")
	require(cfg.IDExpiration > 0 && cfg.AbortInterval > 0 && cfg.RemoveInterval > 0 && cfg.AddRetryInterval > 0,
		"an interval is not above zero")
	if cfg.Refused == nil {
		cfg.Refused = func(error) bool { return false }
	}
	if cfg.TransactionVersion == nil {
		cfg.TransactionVersion = func() int16 { return epochBumpVersion }
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.RealTime == nil {
		cfg.RealTime = clock.Real{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg, errors.Join(errs...)
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
