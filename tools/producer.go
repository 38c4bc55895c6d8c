package tools

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// maxLineBytes bounds one line of the standard input: no broker takes a larger record by default.
const maxLineBytes = 16 << 20

// producerOptions are those of kafka-console-producer.
type producerOptions struct {
	topic, acks, compression string
	properties               []string
	sync                     bool
}

func producerCommand(e *env) *cobra.Command {
	var o producerOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.StringVar(&e.connection.controllers, "broker-list", "", "the same as --bootstrap-server")
	f.StringVar(&o.topic, "topic", "", "the `topic` to produce to")
	f.StringArrayVar(&o.properties, "property", nil,
		"parse.key, key.separator, parse.headers, headers.delimiter, headers.separator, "+
			"headers.key.separator, null.marker, ignore.error; `NAME=VALUE`")
	f.StringArrayVar(&o.properties, "reader-property", nil, "the same as --property")
	f.StringArrayVar(&e.connection.properties, "producer-property", nil, "a property of the producer, `NAME=VALUE`")
	f.StringArrayVar(&e.connection.properties, "command-property", nil, "the same as --producer-property")
	f.StringVar(&e.connection.commandConfig, "producer.config", "", "the same as --command-config")
	f.StringVar(&o.acks, "request-required-acks", "-1", "`-1, all, 0 or 1`")
	f.StringVar(&o.compression, "compression-codec", "none",
		"`none, gzip, snappy, lz4 or zstd`; gzip where no value is given")
	f.Lookup("compression-codec").NoOptDefVal = "gzip"
	f.BoolVar(&o.sync, "sync", false, "wait for each record")
	ignored(f, "batch-size", "max-block-ms", "max-memory-bytes", "max-partition-memory-bytes", "message-send-max-retries",
		"metadata-expiry-ms", "request-timeout-ms", "retry-backoff-ms", "socket-buffer-size", "timeout")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.topic == "" {
			return say("Missing required argument \"[topic]\"")
		}
		return e.produce(c.Context(), o)
	}
	return c
}

// clientOptions are what the options say about the producer.
func (o producerOptions) clientOptions() ([]kgo.Opt, error) {
	options := []kgo.Opt{kgo.AllowAutoTopicCreation()}
	acks, err := acksOption(o.acks)
	if err != nil {
		return nil, err
	}
	compression, err := compressionOption(o.compression)
	return append(append(options, acks...), compression), err
}

func acksOption(acks string) ([]kgo.Opt, error) {
	switch acks {
	case "-1", "all":
		return []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks())}, nil
	case "0":
		return []kgo.Opt{kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()}, nil
	case "1":
		return []kgo.Opt{kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()}, nil
	}
	return nil, fmt.Errorf("--request-required-acks %s: must be -1, all, 0 or 1", acks)
}

func compressionOption(name string) (kgo.Opt, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, ok := codecs[name]
	if !ok {
		return nil, fmt.Errorf("--compression-codec %s: must be none, gzip, snappy, lz4 or zstd", name)
	}
	return kgo.ProducerBatchCompression(codec), nil
}

func (e *env) produce(ctx context.Context, o producerOptions) error {
	parser, err := newLineParser(o.properties)
	if err != nil {
		return err
	}
	options, err := o.clientOptions()
	if err != nil {
		return err
	}
	client, err := e.client(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	prompt := isTerminal(e.stdin)
	lines := bufio.NewScanner(e.stdin)
	lines.Buffer(nil, maxLineBytes)
	var first error
	failed := make(chan error, 1)
	for n := 1; ctx.Err() == nil; n++ {
		if prompt {
			e.print(">")
		}
		if !lines.Scan() {
			break
		}
		record, err := parser.parse(lines.Text(), n)
		if err != nil {
			first = err
			break
		}
		record.Topic = o.topic
		if o.sync || prompt {
			if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
				e.reportSend(o.topic, record, err)
			}
			continue
		}
		client.Produce(ctx, record, func(r *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
					e.reportSend(o.topic, r, err)
				default:
				}
			}
		})
	}
	if err := client.Flush(ctx); err != nil && first == nil && !errors.Is(err, context.Canceled) {
		first = err
	}
	select {
	case <-failed: // reported already; Kafka's tool exits with 0 even then, which hides it from scripts
		return errFailed
	default:
	}
	if first == nil {
		first = lines.Err()
	}
	return first
}

func (e *env) reportSend(topic string, r *kgo.Record, err error) {
	key := "null"
	if r.Key != nil {
		key = fmt.Sprintf("%d bytes", len(r.Key))
	}
	fmt.Fprintf(e.stderr, "ERROR Error when sending message to topic %s with key: %s, value: %d bytes with error: %s\n",
		topic, key, len(r.Value), reason(err, ""))
}

// isTerminal reports whether the input is a terminal.
func isTerminal(r io.Reader) bool {
	file, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0 && file.Name() != os.DevNull
}

// lineParser makes records of lines, as Kafka's LineMessageReader.
type lineParser struct {
	key, headers, ignoreErrors                                   bool
	keySeparator, headersDelimiter, headersSeparator, headerKeys string
	nullMarker                                                   string
}

func newLineParser(properties []string) (*lineParser, error) {
	p := &lineParser{keySeparator: "\t", headersDelimiter: "\t", headersSeparator: ",", headerKeys: ":"}
	for _, pair := range properties {
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "parse.key":
			p.key = strings.EqualFold(value, "true")
		case "parse.headers":
			p.headers = strings.EqualFold(value, "true")
		case "ignore.error":
			p.ignoreErrors = strings.EqualFold(value, "true")
		case "key.separator":
			p.keySeparator = value
		case "headers.delimiter":
			p.headersDelimiter = value
		case "headers.separator":
			p.headersSeparator = value
		case "headers.key.separator":
			p.headerKeys = value
		case "null.marker":
			p.nullMarker = value
		default:
			return nil, fmt.Errorf("--property %s: there is no such property here", pair)
		}
	}
	for name, value := range map[string]string{"key.separator": p.keySeparator, "headers.delimiter": p.headersDelimiter,
		"headers.separator": p.headersSeparator, "headers.key.separator": p.headerKeys} {
		if value == "" {
			return nil, fmt.Errorf("--property %s=: must not be empty", name)
		}
	}
	return p, nil
}

func (p *lineParser) parse(line string, number int) (*kgo.Record, error) {
	r := &kgo.Record{}
	if p.headers {
		headers, rest, found := strings.Cut(line, p.headersDelimiter)
		if !found && !p.ignoreErrors {
			return nil, say("No header delimiter found on line number %d: '%s'", number, line)
		}
		if found {
			line = rest
			if !p.isNull(headers) {
				if err := p.parseHeaders(r, headers, number); err != nil {
					return nil, err
				}
			}
		}
	}
	if p.key {
		key, rest, found := strings.Cut(line, p.keySeparator)
		if !found && !p.ignoreErrors {
			return nil, say("No key separator found on line number %d: '%s'", number, line)
		}
		if found {
			line = rest
			if !p.isNull(key) {
				r.Key = []byte(key)
			}
		}
	}
	if !p.isNull(line) {
		r.Value = []byte(line)
	}
	return r, nil
}

func (p *lineParser) parseHeaders(r *kgo.Record, headers string, number int) error {
	for _, header := range strings.Split(headers, p.headersSeparator) {
		key, value, found := strings.Cut(header, p.headerKeys)
		if !found && !p.ignoreErrors {
			return say("No header key separator found in pair '%s' on line number %d", header, number)
		}
		h := kgo.RecordHeader{Key: key}
		if found && !p.isNull(value) {
			h.Value = []byte(value)
		}
		r.Headers = append(r.Headers, h)
	}
	return nil
}

func (p *lineParser) isNull(text string) bool { return p.nullMarker != "" && text == p.nullMarker }
