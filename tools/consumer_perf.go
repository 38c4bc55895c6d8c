package tools

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumerPerfOptions are those of kafka-consumer-perf-test.
type consumerPerfOptions struct {
	topic, include, group           string
	records                         int64
	timeoutMs, intervalMs           int64
	fetchSize                       int32
	fromLatest, hideHeader, details bool
}

func consumerPerfCommand(e *env) *cobra.Command {
	var o consumerPerfOptions
	var properties []string
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.StringVar(&o.topic, "topic", "", "the `topic`")
	f.StringVar(&o.include, "include", "", "a regular `expression` for topics")
	f.Int64Var(&o.records, "num-records", 0, "the `number` of records")
	f.Int64Var(&o.records, "messages", 0, "the same as --num-records")
	f.StringVar(&o.group, "group", fmt.Sprintf("perf-consumer-%d", rand.IntN(100_000)), "the `group`")
	f.Int64Var(&o.timeoutMs, "timeout", 10_000, "stop when there was no record for so many `milliseconds`")
	f.Int64Var(&o.intervalMs, "reporting-interval", 5000,
		"with --show-detailed-stats, a line every so many `milliseconds`")
	f.Int32Var(&o.fetchSize, "fetch-size", 1<<20, "the most `bytes` of a partition in one answer")
	f.BoolVar(&o.fromLatest, "from-latest", false, "begin at the end where the group has no offset")
	f.BoolVar(&o.hideHeader, "hide-header", false, "do not print the names of the columns")
	f.BoolVar(&o.details, "show-detailed-stats", false, "print how it goes")
	f.StringArrayVar(&properties, "command-property", nil, "a property of the consumer, `NAME=VALUE`")
	f.StringVar(&e.connection.commandConfig, "consumer.config", "", "the same as --command-config")
	ignored(f, "date-format", "socket-buffer-size")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if given(f, "messages", "num-records") != 1 {
			return say("Exactly one of the following arguments is required: [messages], [num-records]")
		}
		if given(f, "topic", "include") != 1 {
			return say("Exactly one of the following arguments is required: [topic], [include]")
		}
		if f.Changed("messages") {
			e.print("Warning: --messages is deprecated. Use --num-records instead.\n")
		}
		if err := e.connection.take(properties); err != nil {
			return err
		}
		return e.consumePerf(c.Context(), o)
	}
	return c
}

func (o consumerPerfOptions) clientOptions(assigned *atomic.Int64) []kgo.Opt {
	begin := kgo.NewOffset().AtStart()
	if o.fromLatest {
		begin = kgo.NewOffset().AtEnd()
	}
	options := []kgo.Opt{
		kgo.ClientID("perf-consumer-client"), kgo.ConsumerGroup(o.group), kgo.ConsumeTopics(o.topic),
		kgo.ConsumeResetOffset(begin), kgo.FetchMaxPartitionBytes(o.fetchSize),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			assigned.CompareAndSwap(0, time.Now().UnixMilli())
		}),
	}
	if o.include != "" {
		options = append(options, kgo.ConsumeTopics("^(?:"+o.include+")$"), kgo.ConsumeRegex())
	}
	return options
}

func (e *env) consumePerf(ctx context.Context, o consumerPerfOptions) error {
	var assigned atomic.Int64
	client, err := e.client(o.clientOptions(&assigned)...)
	if err != nil {
		return err
	}
	defer client.Close()
	columns := "data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, " +
		"fetch.MB.sec, fetch.nMsg.sec"
	switch {
	case o.hideHeader:
	case o.details:
		e.print("time, threadId, %s\n", columns)
	default:
		e.print("start.time, end.time, %s\n", columns)
	}
	began := time.Now()
	all, window := consumption{from: began}, consumption{from: began}
	last := began
	for all.records < o.records {
		polled, cancel := context.WithTimeout(ctx, time.Until(last.Add(time.Duration(o.timeoutMs)*time.Millisecond)))
		fetches := client.PollRecords(polled, int(min(o.records-all.records, 500)))
		cancel()
		now := time.Now()
		if ctx.Err() != nil {
			return nil
		}
		if fetches.NumRecords() == 0 {
			if now.Sub(last).Milliseconds() >= o.timeoutMs {
				e.print("WARNING: Exiting before consuming the expected number of records: timeout (%d ms) exceeded. You can use "+
					"the --timeout option to increase the timeout.\n", o.timeoutMs)
				break
			}
			if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			continue
		}
		last = now
		for r := range fetches.RecordsAll() {
			all.add(r)
			window.add(r)
		}
		if o.details && now.Sub(window.from).Milliseconds() >= o.intervalMs {
			e.print("%s, 0, %s\n", perfTime(now), all.line(window, now, assigned.Load()))
			window = consumption{from: now}
		}
	}
	if !o.details {
		now := time.Now()
		e.print("%s, %s, %s\n", perfTime(began), perfTime(now), all.line(all, now, assigned.Load()))
	}
	return nil
}

// perfTime is a time as Kafka's tool prints it.
func perfTime(t time.Time) string {
	return strings.Replace(t.Format("2006-01-02 15:04:05.000"), ".", ":", 1)
}

// consumption is what was consumed since a time.
type consumption struct {
	from           time.Time
	records, bytes int64
}

func (c *consumption) add(r *kgo.Record) {
	c.records++
	c.bytes += int64(len(r.Key) + len(r.Value))
}

// line has all that was consumed, and the rates of a part of it: in its whole time, and without that of the first
// rebalance.
func (c *consumption) line(part consumption, now time.Time, assignedMs int64) string {
	total := now.Sub(part.from)
	rebalance := min(max(time.UnixMilli(assignedMs).Sub(part.from), 0), total)
	if assignedMs == 0 {
		rebalance = 0
	}
	fetch := (total - rebalance).Seconds()
	megabytes, records := float64(part.bytes)/(1<<20), float64(part.records)
	return fmt.Sprintf("%.4f, %.4f, %d, %.4f, %d, %d, %.4f, %.4f", float64(c.bytes)/(1<<20), megabytes/total.Seconds(),
		c.records, records/total.Seconds(), rebalance.Milliseconds(), (total - rebalance).Milliseconds(), megabytes/fetch,
		records/fetch)
}
