package tools

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
)

// producerPerfOptions are those of kafka-producer-perf-test.
type producerPerfOptions struct {
	topic                   string
	records, warmup         int64
	size                    int
	payloadFile, delimiter  string
	monotonic               bool
	throughput              float64
	interval, transactionMs int64
	transactionalID         string
	keys                    string
	keyRange, seed          int64
	transactional           bool
}

func producerPerfCommand(e *env) *cobra.Command {
	var o producerPerfOptions
	var properties []string
	c := &cobra.Command{Args: cobra.ArbitraryArgs}
	f := c.Flags()
	e.connection.flags(f)
	f.StringVar(&o.topic, "topic", "", "the `topic`")
	f.Int64Var(&o.records, "num-records", 0, "the `number` of records")
	f.IntVar(&o.size, "record-size", 0, "records of so many `bytes`")
	f.StringVar(&o.payloadFile, "payload-file", "", "records with one of the lines of a `file`")
	f.StringVar(&o.delimiter, "payload-delimiter", "\\n", "what ends a line of the file")
	f.BoolVar(&o.monotonic, "payload-monotonic", false, "records with numbers that grow")
	f.Float64Var(&o.throughput, "throughput", 0, "at most so many `records` a second; -1 is as many as can be")
	f.StringArrayVar(&properties, "command-property", nil, "properties of the producer, `NAME=VALUE NAME=VALUE`")
	f.StringArrayVar(&properties, "producer-props", nil, "the same as --command-property")
	f.StringVar(&e.connection.commandConfig, "producer.config", "", "the same as --command-config")
	f.StringVar(&o.transactionalID, "transactional-id", "", "the transactional `ID`, with transactions")
	f.Int64Var(&o.transactionMs, "transaction-duration-ms", 0, "commit after so many `milliseconds`, with transactions")
	f.Int64Var(&o.warmup, "warmup-records", 0, "print a summary without the first `records`, too")
	f.Int64Var(&o.interval, "reporting-interval", 5000, "print how it goes every so many `milliseconds`")
	f.StringVar(&o.keys, "key-distribution", "none", "`none, range or random` keys")
	f.Int64Var(&o.keyRange, "record-key-range", 0, "keys below this `number`")
	f.Int64Var(&o.seed, "random-seed", 0, "the `seed` of random keys and bytes")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := o.validate(f); err != nil {
			return err
		}
		if err := e.connection.take(append(properties, args...)); err != nil {
			return err
		}
		if e.connection.servers == "" {
			return perfError("At least one of --bootstrap-server, --command-property, --producer-props, --producer.config or " +
				"--command-config must be specified.")
		}
		o.transactional = given(f, "transactional-id", "transaction-duration-ms") > 0
		return e.producePerf(c.Context(), o)
	}
	return c
}

// take takes properties of a client, of which bootstrap.servers is where it connects.
func (c *connection) take(properties []string) error {
	for _, p := range properties {
		name, value, ok := strings.Cut(p, "=")
		switch {
		case !ok:
			return fmt.Errorf("unexpected argument %q", p)
		case name == "bootstrap.servers" && c.servers == "":
			c.servers = value
		case name != "bootstrap.servers":
			c.properties = append(c.properties, p)
		}
	}
	return nil
}

func perfError(format string, args ...any) error {
	return say("kafka-producer-perf-test: error: "+format, args...)
}

func (o *producerPerfOptions) validate(f *pflag.FlagSet) error {
	payloads := []string{"record-size", "payload-file", "payload-monotonic"}
	for _, option := range []string{"topic", "num-records", "throughput"} {
		if !f.Changed(option) {
			return perfError("argument --%s is required", option)
		}
	}
	set := slices.DeleteFunc(slices.Clone(payloads), func(p string) bool { return !f.Changed(p) })
	switch {
	case len(set) == 0:
		return perfError("one of the arguments --record-size --payload-file --payload-monotonic is required")
	case len(set) > 1:
		return perfError("argument --%s: not allowed with argument --%s", set[1], set[0])
	case o.records <= 0:
		return perfError("--num-records should be greater than zero.")
	case f.Changed("record-size") && o.size <= 0:
		return perfError("--record-size should be greater than zero.")
	case f.Changed("transaction-duration-ms") && o.transactionMs <= 0:
		return perfError("--transaction-duration-ms should be greater than zero.")
	case o.interval <= 0:
		return perfError("--reporting-interval should be greater than zero.")
	case o.warmup >= o.records:
		return perfError("The value for --warmup-records must be strictly fewer than the number of records in the test, " +
			"--num-records.")
	case o.keys != "none" && o.keys != "range" && o.keys != "random":
		return perfError("argument --key-distribution: invalid choice: '%s' (choose from 'none', 'range', 'random')", o.keys)
	case o.keys != "none" && o.keyRange <= 0:
		return perfError("--record-key-range is required when --key-distribution is '%s'.", o.keys)
	}
	if o.transactionMs == 0 {
		o.transactionMs = 3000
	}
	if o.transactionalID == "" {
		o.transactionalID = "performance-producer-" + randomUUID()
	}
	return nil
}

// clientOptions returns the options of the client, of which the properties set some.
func (o *producerPerfOptions) clientOptions(properties []string) ([]kgo.Opt, error) {
	options := []kgo.Opt{
		kgo.ClientID("perf-producer-client"), kgo.DefaultProduceTopic(o.topic), kgo.MaxBufferedRecords(100_000),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}
	if o.transactional {
		options = append(options, kgo.TransactionalID(o.transactionalID))
	}
	for _, p := range properties {
		name, value, _ := strings.Cut(p, "=")
		var more []kgo.Opt
		var err error
		var n int
		switch name {
		case "acks":
			more, err = acksOption(value)
		case "compression.type":
			var codec kgo.Opt
			codec, err = compressionOption(value)
			more = []kgo.Opt{codec}
		case "linger.ms":
			n, err = strconv.Atoi(value)
			more = []kgo.Opt{kgo.ProducerLinger(time.Duration(n) * time.Millisecond)}
		case "batch.size":
			n, err = strconv.Atoi(value)
			more = []kgo.Opt{kgo.ProducerBatchMaxBytes(int32(max(n, 1024)))}
		}
		if err != nil {
			return nil, err
		}
		options = append(options, more...)
	}
	return options, nil
}

func (e *env) producePerf(ctx context.Context, o producerPerfOptions) error {
	options, err := o.clientOptions(e.connection.properties)
	if err != nil {
		return err
	}
	payload, err := e.payloads(o)
	if err != nil {
		return err
	}
	client, err := e.client(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	p := perf{env: e, options: o, client: client, payload: payload, began: time.Now()}
	p.windowBegan = p.began
	if o.warmup > 0 {
		e.print("Warmup first %d records. Steady state results will print after the complete test summary.\n", o.warmup)
	}
	if err := p.send(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print("%s", p.all.summary("", p.began, time.Now()))
	if o.warmup > 0 {
		p.print("%s", p.steady.summary("steady state ", p.steadyBegan, time.Now()))
	}
	return p.failed
}

// payloads returns what makes the value of a record.
func (e *env) payloads(o producerPerfOptions) (func(n int64) []byte, error) {
	random := rand.New(rand.NewPCG(uint64(o.seed), 0))
	switch {
	case o.monotonic:
		return func(n int64) []byte { return strconv.AppendInt(nil, n, 10) }, nil
	case o.payloadFile == "":
		return func(int64) []byte {
			value := make([]byte, o.size)
			for i := range value {
				value[i] = byte('A' + random.IntN(26))
			}
			return value
		}, nil
	}
	text, err := os.ReadFile(o.payloadFile)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), strings.ReplaceAll(o.delimiter, "\\n", "\n"))
	if len(text) == 0 {
		return nil, say("File does not exist or empty file provided.")
	}
	e.print("Reading payloads from: %s\nNumber of records read: %d\n", o.payloadFile, len(lines))
	return func(int64) []byte { return []byte(lines[random.IntN(len(lines))]) }, nil
}

// perf is one run of kafka-producer-perf-test.
type perf struct {
	*env
	options     producerPerfOptions
	client      *kgo.Client
	payload     func(n int64) []byte
	began       time.Time
	mu          sync.Mutex
	all, steady latencies // guarded by mu, like what follows
	window      latencies
	windowBegan time.Time
	steadyBegan time.Time
	failed      error
}

// send sends the records, in transactions where asked for, no faster than asked for.
func (p *perf) send(ctx context.Context) error {
	o := p.options
	random := rand.New(rand.NewPCG(uint64(o.seed), 1))
	var begun time.Time
	for n := range o.records {
		if o.transactional && begun.IsZero() {
			if err := p.client.BeginTransaction(); err != nil {
				return err
			}
			begun = time.Now()
		}
		r := &kgo.Record{Value: p.payload(n)}
		switch o.keys {
		case "range":
			r.Key = strconv.AppendInt(nil, n%o.keyRange, 10)
		case "random":
			r.Key = strconv.AppendInt(nil, random.Int64N(o.keyRange), 10)
		}
		sent := time.Now()
		p.client.Produce(ctx, r, func(r *kgo.Record, err error) { p.done(n, sent, len(r.Key)+len(r.Value), err) })
		if o.transactional && time.Since(begun) >= time.Duration(o.transactionMs)*time.Millisecond {
			if err := p.commit(ctx); err != nil {
				return err
			}
			begun = time.Time{}
		}
		if err := p.pace(ctx, n+1); err != nil {
			return err
		}
	}
	if !begun.IsZero() {
		return p.commit(ctx)
	}
	return p.client.Flush(ctx)
}

func (p *perf) commit(ctx context.Context) error {
	return errors.Join(p.client.Flush(ctx), p.client.EndTransaction(ctx, kgo.TryCommit))
}

// pace waits until the next record may be sent.
func (p *perf) pace(ctx context.Context, sent int64) error {
	if p.options.throughput <= 0 {
		return ctx.Err()
	}
	due := p.began.Add(time.Duration(float64(sent) / p.options.throughput * float64(time.Second)))
	if wait := time.Until(due); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// done notes that a record was acknowledged, and prints how it goes.
func (p *perf) done(n int64, sent time.Time, bytes int, err error) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if p.failed == nil {
			p.failed = err
		}
		return
	}
	ms := now.Sub(sent).Milliseconds()
	p.all.add(ms, bytes)
	p.window.add(ms, bytes)
	if n >= p.options.warmup {
		if p.steadyBegan.IsZero() {
			p.steadyBegan = now
		}
		p.steady.add(ms, bytes)
	}
	if now.Sub(p.windowBegan) >= time.Duration(p.options.interval)*time.Millisecond {
		p.print("%s", p.window.progress(p.windowBegan, now))
		p.window, p.windowBegan = latencies{}, now
	}
}
