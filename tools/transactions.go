package tools

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// defaultMaxTransactionTimeout is Kafka's default of --max-transaction-timeout, in minutes.
const defaultMaxTransactionTimeout = 15

func transactionsCommand(e *env) *cobra.Command {
	c := &cobra.Command{Args: cobra.ArbitraryArgs}
	e.connection.flags(c.PersistentFlags())
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return say("a command is missing: list, describe, describe-producers, find-hanging, abort or " +
				"forceTerminateTransaction")
		}
		return say("kafka-transactions.sh: error: invalid choice: '%s' (choose from 'list', 'describe', "+
			"'describe-producers', 'abort', 'find-hanging', 'forceTerminateTransaction')", args[0])
	}
	c.AddCommand(listTransactions(e), describeTransactions(e), describeProducers(e), findHanging(e), abortTransaction(e),
		forceTerminate(e))
	return c
}

func listTransactions(e *env) *cobra.Command {
	var durationMs int64
	var pattern string
	c := &cobra.Command{Use: "list", Short: "List transactions"}
	c.Flags().Int64Var(&durationMs, "duration-filter", -1, "only those that run for longer than so many `milliseconds`")
	c.Flags().StringVar(&pattern, "transactional-id-pattern", "", "only IDs that match a regular `expression`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, admin, done, err := e.admin(c.Context())
		if err != nil {
			return err
		}
		defer done()
		ids, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return say("%s is an invalid regex", pattern)
		}
		listed, err := admin.ListTransactions(ctx, nil, nil)
		if err != nil {
			return err
		}
		var running kadm.DescribedTransactions
		if durationMs >= 0 {
			if running, err = admin.DescribeTransactions(ctx, listed.TransactionalIDs()...); err != nil {
				return err
			}
		}
		var rows [][]string
		for _, t := range listed.Sorted() {
			if pattern != "" && !ids.MatchString(t.TxnID) {
				continue
			}
			if durationMs >= 0 {
				start := running[t.TxnID].StartTimestamp
				if start < 0 || time.Now().UnixMilli()-start <= durationMs {
					continue
				}
			}
			rows = append(rows, []string{t.TxnID, strconv.Itoa(int(t.Coordinator)), strconv.FormatInt(t.ProducerID, 10),
				t.State})
		}
		printTable(e.stdout, []string{"TransactionalId", "Coordinator", "ProducerId", "TransactionState"}, rows)
		return nil
	}
	return c
}

func describeTransactions(e *env) *cobra.Command {
	var id string
	c := &cobra.Command{Use: "describe", Short: "Describe the state of a transactional ID"}
	c.Flags().StringVar(&id, "transactional-id", "", "the transactional `ID`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if id == "" {
			return say("argument --transactional-id is required")
		}
		ctx, admin, done, err := e.admin(c.Context())
		if err != nil {
			return err
		}
		defer done()
		described, err := admin.DescribeTransactions(ctx, id)
		if err != nil {
			return err
		}
		t, err := described.On(id, func(t *kadm.DescribedTransaction) error { return t.Err })
		if err != nil {
			return e.fail("Failed to describe transaction state of transactional-id `%s`: DescribeTransactions request for "+
				"transactionalId `%s` failed because the ID could not be found. Enable debug logging for additional detail.", id,
				id)
		}
		start, duration := "None", "None"
		if t.StartTimestamp >= 0 {
			start = strconv.FormatInt(t.StartTimestamp, 10)
			duration = strconv.FormatInt(time.Now().UnixMilli()-t.StartTimestamp, 10)
		}
		var partitions []string
		for _, topic := range t.Topics.Sorted() {
			for _, p := range topic.Partitions {
				partitions = append(partitions, fmt.Sprintf("%s-%d", topic.Topic, p))
			}
		}
		printTable(e.stdout, []string{"CoordinatorId", "TransactionalId", "ProducerId", "ProducerEpoch", "TransactionState",
			"TransactionTimeoutMs", "CurrentTransactionStartTimeMs", "TransactionDurationMs", "TopicPartitions"}, [][]string{{
			strconv.Itoa(int(t.Coordinator)), id, strconv.FormatInt(t.ProducerID, 10), strconv.Itoa(int(t.ProducerEpoch)),
			t.State,
			strconv.Itoa(int(t.TimeoutMillis)), start, duration, strings.Join(partitions, ","),
		}})
		return nil
	}
	return c
}

// partitionOptions name one partition.
type partitionOptions struct {
	topic     string
	partition int32
}

func (o *partitionOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.topic, "topic", "", "the `topic`")
	c.Flags().Int32Var(&o.partition, "partition", -1, "the `partition`")
}

func (o *partitionOptions) complete() error {
	if o.topic == "" {
		return say("argument --topic is required")
	}
	if o.partition < 0 {
		return say("argument --partition is required")
	}
	return nil
}

// producers asks for the producers of one partition, in the order of their IDs.
func producers(ctx context.Context, admin *kadm.Client, o partitionOptions) ([]kadm.DescribedProducer, error) {
	var set kadm.TopicsSet
	set.Add(o.topic, o.partition)
	described, err := admin.DescribeProducers(ctx, set)
	if err != nil {
		return nil, err
	}
	for _, p := range described.SortedPartitions() {
		if p.Err != nil {
			return nil, say("Failed to describe producers for partition %s-%d: %s", o.topic, o.partition,
				reason(p.Err, p.ErrMessage))
		}
	}
	return described.SortedProducers(), nil
}

func describeProducers(e *env) *cobra.Command {
	var o partitionOptions
	brokerID := 0
	c := &cobra.Command{Use: "describe-producers", Short: "Describe the producers of a partition"}
	o.flags(c)
	c.Flags().IntVar(&brokerID, "broker-id", 0, "has no effect")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.complete(); err != nil {
			return err
		}
		ctx, admin, done, err := e.admin(c.Context())
		if err != nil {
			return err
		}
		defer done()
		active, err := producers(ctx, admin, o)
		if err != nil {
			return err
		}
		var rows [][]string
		for _, p := range active {
			start := "None"
			if p.CurrentTxnStartOffset >= 0 {
				start = strconv.FormatInt(p.CurrentTxnStartOffset, 10)
			}
			rows = append(rows, []string{
				strconv.FormatInt(p.ProducerID, 10), strconv.Itoa(int(p.ProducerEpoch)), strconv.Itoa(int(p.CoordinatorEpoch)),
				strconv.Itoa(int(p.LastSequence)), strconv.FormatInt(p.LastTimestamp, 10), start,
			})
		}
		printTable(e.stdout, []string{"ProducerId", "ProducerEpoch", "LatestCoordinatorEpoch", "LastSequence",
			"LastTimestamp",
			"CurrentTransactionStartOffset"}, rows)
		return nil
	}
	return c
}

func findHanging(e *env) *cobra.Command {
	var o partitionOptions
	var brokerID int32
	maxTimeout := 0
	c := &cobra.Command{Use: "find-hanging", Short: "Find transactions that hang in partitions"}
	o.flags(c)
	c.Flags().Int32Var(&brokerID, "broker-id", -1, "look at the partitions of a broker")
	c.Flags().IntVar(&maxTimeout, "max-transaction-timeout", defaultMaxTransactionTimeout,
		"in `minutes`; what is open for longer, and 5 minutes, may hang")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if brokerID < 0 && o.topic == "" {
			return say("The `find-hanging` command requires either --topic or --broker-id to limit the scope of the search")
		}
		ctx, admin, done, err := e.admin(c.Context())
		if err != nil {
			return err
		}
		defer done()
		rows, err := hanging(ctx, admin, o, brokerID, time.Now().Add(-time.Duration(maxTimeout+5)*time.Minute))
		if err != nil {
			return err
		}
		printTable(e.stdout, []string{"Topic", "Partition", "ProducerId", "ProducerEpoch", "CoordinatorEpoch", "StartOffset",
			"LastTimestamp",
			"Duration(min)"}, rows)
		return nil
	}
	return c
}

// hanging returns rows about producers that have had a transaction open in a partition since before limit, of which no
// coordinator knows.
func hanging(ctx context.Context, admin *kadm.Client, o partitionOptions, brokerID int32,
	limit time.Time) ([][]string, error) {
	var topics []string
	if o.topic != "" {
		topics = []string{o.topic}
	}
	metadata, err := admin.ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var set kadm.TopicsSet
	for _, t := range metadata.Sorted() {
		if t.Err != nil {
			return nil, say("Failed to describe topic %s: %s", t.Topic, reason(t.Err, ""))
		}
		for _, p := range t.Partitions.Sorted() {
			if (o.partition < 0 || p.Partition == o.partition) && (brokerID < 0 || slices.Contains(p.Replicas, brokerID)) {
				set.Add(t.Topic, p.Partition)
			}
		}
	}
	described, err := admin.DescribeProducers(ctx, set)
	if err != nil {
		return nil, err
	}
	var open []kadm.DescribedProducer
	var ids []int64
	for _, p := range described.SortedProducers() {
		if p.CurrentTxnStartOffset >= 0 && p.LastTimestamp < limit.UnixMilli() {
			open, ids = append(open, p), append(ids, p.ProducerID)
		}
	}
	if len(open) == 0 {
		return nil, nil
	}
	listed, err := admin.ListTransactions(ctx, ids, nil)
	if err != nil {
		return nil, err
	}
	known, err := admin.DescribeTransactions(ctx, listed.TransactionalIDs()...)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, p := range open {
		owned := slices.ContainsFunc(known.Sorted(), func(t kadm.DescribedTransaction) bool {
			return t.ProducerID == p.ProducerID && t.ProducerEpoch == p.ProducerEpoch &&
				slices.Contains(sortedKeys(t.Topics[p.Topic]), p.Partition)
		})
		if owned {
			continue
		}
		rows = append(rows, []string{
			p.Topic, strconv.Itoa(int(p.Partition)), strconv.FormatInt(p.ProducerID, 10), strconv.Itoa(int(p.ProducerEpoch)),
			strconv.Itoa(int(p.CoordinatorEpoch)), strconv.FormatInt(p.CurrentTxnStartOffset, 10),
			strconv.FormatInt(p.LastTimestamp, 10),
			strconv.Itoa(int(time.Since(time.UnixMilli(p.LastTimestamp)).Minutes())),
		})
	}
	return rows, nil
}

func abortTransaction(e *env) *cobra.Command {
	var o partitionOptions
	var startOffset, producerID int64
	var producerEpoch int16
	var coordinatorEpoch int32
	c := &cobra.Command{Use: "abort", Short: "Abort a transaction that hangs in a partition"}
	o.flags(c)
	f := c.Flags()
	f.Int64Var(&startOffset, "start-offset", -1, "the first `offset` of the transaction")
	f.Int64Var(&producerID, "producer-id", -1, "the producer `ID`, without --start-offset")
	f.Int16Var(&producerEpoch, "producer-epoch", -1, "the producer `epoch`, without --start-offset")
	f.Int32Var(&coordinatorEpoch, "coordinator-epoch", -1, "the coordinator `epoch`, without --start-offset")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.complete(); err != nil {
			return err
		}
		if startOffset < 0 && producerID < 0 {
			return say("The transaction to abort must be identified either with --start-offset (for brokers on 3.0 or above) " +
				"or with " +
				"--producer-id, --producer-epoch, and --coordinator-epoch (for older brokers)")
		}
		if startOffset < 0 && (producerEpoch < 0 || coordinatorEpoch < 0) {
			return say("Missing one of --producer-epoch and --coordinator-epoch")
		}
		ctx, admin, done, err := e.admin(c.Context())
		if err != nil {
			return err
		}
		defer done()
		marker := kadm.TxnMarkers{ProducerID: producerID, ProducerEpoch: producerEpoch, CoordinatorEpoch: coordinatorEpoch}
		if startOffset >= 0 {
			active, err := producers(ctx, admin, o)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(active, func(p kadm.DescribedProducer) bool { return p.CurrentTxnStartOffset == startOffset })
			if i < 0 {
				return e.fail("Could not find any open transactions starting at offset %d on partition %s-%d", startOffset, o.topic,
					o.partition)
			}
			p := active[i]
			marker.ProducerID, marker.ProducerEpoch, marker.CoordinatorEpoch = p.ProducerID, p.ProducerEpoch,
				max(p.CoordinatorEpoch, 0)
		}
		marker.Topics.Add(o.topic, o.partition)
		written, err := admin.WriteTxnMarkers(ctx, marker)
		if err != nil {
			return err
		}
		for _, p := range written.SortedPartitions() {
			if p.Err != nil {
				return e.fail("Failed to abort the transaction: %s", reason(p.Err, ""))
			}
		}
		return nil
	}
	return c
}

// forceTerminate ends the transaction of a transactional ID by fencing its producer.
func forceTerminate(e *env) *cobra.Command {
	var id string
	c := &cobra.Command{Use: "forceTerminateTransaction", Short: "Abort the open transaction of a transactional ID"}
	c.Flags().StringVar(&id, "transactionalId", "", "the transactional `ID`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if id == "" {
			return say("argument --transactionalId is required")
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			return e.fence(ctx, client, id)
		})
	}
	return c
}

// fence fences the producer of a transactional ID. While its transaction is being aborted it asks again.
func (e *env) fence(ctx context.Context, client *kgo.Client, id string) error {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.TransactionalID, r.TransactionTimeoutMillis = &id, fencingTimeoutMs
	for {
		answer, err := r.RequestWith(ctx, client)
		switch {
		case err != nil:
			return err
		case answer.ErrorCode == 0:
			return nil
		case answer.ErrorCode != kerr.ConcurrentTransactions.Code:
			return e.fail("%s", javaError(answer.ErrorCode, nil))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// fencingTimeoutMs is the transaction timeout of a producer that is there to fence another one only, as in Kafka.
const fencingTimeoutMs = 60_000
