package tools

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
)

// shareConsumerCommand is kafka-console-share-consumer.
func shareConsumerCommand(e *env) *cobra.Command {
	var o consumerOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.StringVar(&o.topic, "topic", "", "the `topic` to read")
	f.StringVar(&o.group, "group", "console-share-consumer", "the share `group`")
	f.Bool("release", false, "release the records that are printed, instead of accepting them")
	f.Bool("reject", false, "reject the records that are printed, instead of accepting them")
	o.flags(e, f)
	f.StringVar(&e.connection.commandConfig, "consumer-config", "", "the same as --command-config")
	f.Bool("reject-message-on-error", false, "has no effect")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.topic == "" {
			return say("--topic is a required argument")
		}
		status, err := acknowledgement(f)
		if err != nil {
			return err
		}
		return e.consumeShared(c.Context(), o, status)
	}
	return c
}

// acknowledgement is what happens to records that have been printed.
func acknowledgement(f *pflag.FlagSet) (kgo.AckStatus, error) {
	switch {
	case given(f, "release", "reject") == 2:
		return 0, say("At most one of --reject and --release may be specified.")
	case f.Changed("release"):
		return kgo.AckRelease, nil
	case f.Changed("reject"):
		return kgo.AckReject, nil
	}
	return kgo.AckAccept, nil
}

// consumeShared prints records of a share group, and acknowledges what it has printed.
func (e *env) consumeShared(ctx context.Context, o consumerOptions, status kgo.AckStatus) error {
	format, err := o.format()
	if err != nil {
		return err
	}
	client, err := e.client(kgo.ShareGroup(o.group), kgo.ConsumeTopics(o.topic), kgo.ShareMaxRecordsStrict(),
		kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	out := bufio.NewWriter(e.stdout)
	printed, err := printRecords(ctx, client, o, func(r *kgo.Record) {
		format.write(out, r)
		client.MarkAcks(status, r)
	}, out.Flush)
	fmt.Fprintf(e.stderr, "Processed a total of %d messages\n", printed)
	acknowledged, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	if flushed := client.FlushAcks(acknowledged); err == nil {
		err = flushed
	}
	return err
}
