package tools

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumerOptions are those of kafka-console-consumer, of which kafka-console-share-consumer has some.
type consumerOptions struct {
	topic, include, group              string
	fromBeginning                      bool
	partition                          int32
	offset, isolation                  string
	maxMessages                        int
	timeoutMs                          int64 // 0 or less waits for ever
	properties                         []string
	keyDeserializer, valueDeserializer string
	partitionGiven                     bool
}

// ignored adds options that have no effect here and change nothing that a script would see.
func ignored(f *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f.String(name, "", "has no effect")
	}
}

// flags adds the options about records that both console consumers have.
func (o *consumerOptions) flags(e *env, f *pflag.FlagSet) {
	f.IntVar(&o.maxMessages, "max-messages", -1, "stop after so many `records`")
	f.Int64Var(&o.timeoutMs, "timeout-ms", -1, "stop when there was no record for so many `milliseconds`")
	f.StringArrayVar(&o.properties, "property", nil,
		"print.timestamp, print.key, print.offset, print.epoch, print.partition, "+
			"print.headers, print.value, key.separator, line.separator, headers.separator, null.literal, key.deserializer, "+
			"value.deserializer; `NAME=VALUE`")
	f.StringArrayVar(&o.properties, "formatter-property", nil, "the same as --property")
	f.StringArrayVar(&e.connection.properties, "consumer-property", nil, "a property of the consumer, `NAME=VALUE`")
	f.StringArrayVar(&e.connection.properties, "command-property", nil, "the same as --consumer-property")
	f.StringVar(&o.keyDeserializer, "key-deserializer", "", "String, Integer, Long or ByteArray deserializer")
	f.StringVar(&o.valueDeserializer, "value-deserializer", "", "String, Integer, Long or ByteArray deserializer")
}

// format returns the format of records that the options ask for.
func (o *consumerOptions) format() (*format, error) {
	properties := o.properties
	if o.keyDeserializer != "" {
		properties = append(properties, "key.deserializer="+o.keyDeserializer)
	}
	if o.valueDeserializer != "" {
		properties = append(properties, "value.deserializer="+o.valueDeserializer)
	}
	return newFormat(properties)
}

func consumerCommand(e *env) *cobra.Command {
	var o consumerOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.StringVar(&o.topic, "topic", "", "the `topic` to read")
	f.StringVar(&o.include, "include", "", "a regular `expression` for topics to read")
	f.StringVar(&o.include, "whitelist", "", "the same as --include")
	f.BoolVar(&o.fromBeginning, "from-beginning", false, "begin at the earliest record where the group has no offset")
	f.StringVar(&o.isolation, "isolation-level", "read_uncommitted", "`read_committed or read_uncommitted`")
	f.StringVar(&o.group, "group", "", "the consumer `group`; without it no offsets are committed")
	f.Int32Var(&o.partition, "partition", 0, "the `partition` to read")
	f.StringVar(&o.offset, "offset", "latest", "`earliest, latest` or a number; needs --partition")
	o.flags(e, f)
	f.StringVar(&e.connection.commandConfig, "consumer.config", "", "the same as --command-config")
	f.Bool("skip-message-on-error", false, "has no effect")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.partitionGiven = f.Changed("partition")
		if f.Changed("offset") && !o.partitionGiven {
			return say("The partition is required when offset is specified.")
		}
		return e.consume(c.Context(), o)
	}
	return c
}

func (e *env) consume(ctx context.Context, o consumerOptions) error {
	format, err := o.format()
	if err != nil {
		return err
	}
	for i := 0; i < len(e.connection.properties); { // properties that are options here
		name, value, _ := strings.Cut(e.connection.properties[i], "=")
		switch name {
		case "group.id":
			o.group = value
		case "isolation.level":
			o.isolation = value
		case "auto.offset.reset":
			o.fromBeginning = value == "earliest"
		default:
			i++
			continue
		}
		e.connection.properties = append(e.connection.properties[:i], e.connection.properties[i+1:]...)
	}
	positions := &positions{fromBeginning: o.fromBeginning}
	options, err := o.clientOptions(positions)
	if err != nil {
		return err
	}
	client, err := e.client(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	out := bufio.NewWriter(e.stdout)
	printed, err := printRecords(ctx, client, o, func(r *kgo.Record) { format.write(out, r) }, out.Flush)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	if o.group != "" {
		// What was read and printed is committed, even after an interrupt.
		if commitErr := positions.commit(context.WithoutCancel(ctx), client, o.group); err == nil {
			err = commitErr
		}
	}
	fmt.Fprintf(e.stderr, "Processed a total of %d messages\n", printed)
	return err
}

// printRecords reads until an option, an error or the end of ctx stops it.
func printRecords(ctx context.Context, client *kgo.Client, o consumerOptions, print func(*kgo.Record),
	flush func() error) (printed int, err error) {
	for o.maxMessages < 0 || printed < o.maxMessages {
		poll, cancel := ctx, context.CancelFunc(func() {})
		if o.timeoutMs > 0 {
			poll, cancel = context.WithTimeout(ctx, time.Duration(o.timeoutMs)*time.Millisecond)
		}
		most := 10000
		if o.maxMessages >= 0 {
			most = o.maxMessages - printed
		}
		fetches := client.PollRecords(poll, most)
		idle := poll.Err() != nil
		cancel()
		fetches.EachRecord(func(r *kgo.Record) { print(r); printed++ })
		if err := flush(); err != nil {
			return printed, err
		}
		for _, failed := range fetches.Errors() {
			if !errors.Is(failed.Err, context.DeadlineExceeded) && !errors.Is(failed.Err, context.Canceled) {
				return printed, failed.Err
			}
		}
		if ctx.Err() != nil || idle && fetches.NumRecords() == 0 {
			return printed, nil
		}
	}
	return printed, nil
}

func (o consumerOptions) clientOptions(p *positions) ([]kgo.Opt, error) {
	start := kgo.NewOffset().AtEnd()
	if o.fromBeginning {
		start = kgo.NewOffset().AtStart()
	}
	options := []kgo.Opt{kgo.ConsumeResetOffset(start), kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.AllowAutoTopicCreation()}
	switch o.isolation {
	case "read_committed":
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	case "read_uncommitted":
	default:
		return nil, fmt.Errorf("--isolation-level %s: must be read_committed or read_uncommitted", o.isolation)
	}
	switch {
	case (o.topic == "") == (o.include == ""):
		return nil, say("Exactly one of --include/--topic is required. ")
	case o.partitionGiven && o.topic == "":
		return nil, say("The topic is required when partition is specified.")
	case o.partitionGiven && o.group != "":
		return nil, say("Options group and partition cannot be specified together.")
	case o.include != "":
		options = append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics("^(?:"+strings.ReplaceAll(o.include, ",", "|")+")$"))
	case o.partitionGiven:
		at, err := o.startOffset()
		if err != nil {
			return nil, err
		}
		return append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.topic: {o.partition: at}})), nil
	default:
		options = append(options, kgo.ConsumeTopics(o.topic))
	}
	if o.group != "" {
		options = append(options, kgo.ConsumerGroup(o.group), kgo.DisableAutoCommit(),
			kgo.OnPartitionsAssigned(p.assigned), kgo.OnPartitionsRevoked(p.revoked), kgo.OnPartitionsLost(p.revoked),
			kgo.Balancers(kgo.RangeBalancer(), kgo.CooperativeStickyBalancer()))
	}
	return options, nil
}

func (o consumerOptions) startOffset() (kgo.Offset, error) {
	switch {
	case o.offset == "earliest" || o.fromBeginning:
		return kgo.NewOffset().AtStart(), nil
	case o.offset == "latest":
		return kgo.NewOffset().AtEnd(), nil
	}
	at, err := strconv.ParseInt(o.offset, 10, 64)
	if err != nil || at < 0 {
		return kgo.Offset{}, say("The provided offset value '%s' is incorrect. Valid values are 'earliest', 'latest', or "+
			"a non-negative long.", o.offset)
	}
	return kgo.NewOffset().At(at), nil
}

// format prints records as Kafka's DefaultMessageFormatter.
type format struct {
	timestamp, partition, offset, epoch, headers, key, value bool
	separator, line, headersSeparator, null                  string
	keyText, valueText                                       func([]byte) string
}

func newFormat(properties []string) (*format, error) {
	f := &format{value: true, separator: "\t", line: "\n", headersSeparator: ",", null: "null", keyText: text,
		valueText: text}
	for _, pair := range properties {
		name, value, _ := strings.Cut(pair, "=")
		on := strings.EqualFold(strings.TrimSpace(value), "true")
		switch name {
		case "print.timestamp":
			f.timestamp = on
		case "print.partition":
			f.partition = on
		case "print.offset":
			f.offset = on
		case "print.epoch":
			f.epoch = on
		case "print.headers":
			f.headers = on
		case "print.key":
			f.key = on
		case "print.value":
			f.value = on
		case "key.separator":
			f.separator = value
		case "line.separator":
			f.line = value
		case "headers.separator":
			f.headersSeparator = value
		case "null.literal":
			f.null = value
		case "key.deserializer", "value.deserializer":
			convert, err := deserializer(value)
			if err != nil {
				return nil, err
			}
			if name == "key.deserializer" {
				f.keyText = convert
			} else {
				f.valueText = convert
			}
		default:
			return nil, fmt.Errorf("--property %s: there is no such property here; use kafka-console-consumer.sh of Apache "+
				"Kafka", pair)
		}
	}
	return f, nil
}

func text(b []byte) string { return string(b) }

// deserializer returns Kafka's deserializer of a class, by the last part of its name.
func deserializer(class string) (func([]byte) string, error) {
	switch class[strings.LastIndex(class, ".")+1:] {
	case "StringDeserializer", "ByteArrayDeserializer":
		return text, nil
	case "IntegerDeserializer":
		return func(b []byte) string {
			if len(b) != 4 {
				return text(b)
			}
			return strconv.Itoa(int(int32(binary.BigEndian.Uint32(b))))
		}, nil
	case "LongDeserializer":
		return func(b []byte) string {
			if len(b) != 8 {
				return text(b)
			}
			return strconv.FormatInt(int64(binary.BigEndian.Uint64(b)), 10)
		}, nil
	}
	return nil, fmt.Errorf("%s is not built here; use kafka-console-consumer.sh of Apache Kafka", class)
}

func (f *format) write(w io.Writer, r *kgo.Record) {
	var parts []string
	if f.timestamp {
		kind := "CreateTime"
		if r.Attrs.TimestampType() == 1 {
			kind = "LogAppendTime"
		}
		parts = append(parts, fmt.Sprintf("%s:%d", kind, r.Timestamp.UnixMilli()))
	}
	if f.partition {
		parts = append(parts, fmt.Sprintf("Partition:%d", r.Partition))
	}
	if f.offset {
		parts = append(parts, fmt.Sprintf("Offset:%d", r.Offset))
	}
	if f.epoch {
		parts = append(parts, fmt.Sprintf("Epoch:%d", r.LeaderEpoch))
	}
	if f.headers {
		headers := "NO_HEADERS"
		if len(r.Headers) > 0 {
			words := make([]string, len(r.Headers))
			for i, h := range r.Headers {
				words[i] = h.Key + ":" + f.orNull(h.Value, text)
			}
			headers = strings.Join(words, f.headersSeparator)
		}
		parts = append(parts, headers)
	}
	if f.key {
		parts = append(parts, f.orNull(r.Key, f.keyText))
	}
	if f.value {
		parts = append(parts, f.orNull(r.Value, f.valueText))
	}
	_, _ = io.WriteString(w, strings.Join(parts, f.separator)+f.line) // the writer keeps its error
}

func (f *format) orNull(b []byte, convert func([]byte) string) string {
	if b == nil {
		return f.null
	}
	return convert(b)
}
