package tools

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// deleteRecordsCommand is kafka-delete-records.
func deleteRecordsCommand(e *env) *cobra.Command {
	var file string
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.StringVar(&file, "offset-json-file", "",
		"a `file` with the offset before which records are deleted, by partition; -1 is the high watermark")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(f, "offset-json-file", "bootstrap-server"); err != nil {
			return err
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			return e.deleteRecords(ctx, kadm.NewClient(client), file)
		})
	}
	return c
}

func (e *env) deleteRecords(ctx context.Context, admin *kadm.Client, file string) error {
	read, err := readJSON(file)
	if err != nil {
		return err
	}
	partitions, err := read.partitions()
	if err != nil {
		return err
	}
	if twice := duplicates(partitions); len(twice) > 0 {
		return say("Offset json file contains duplicate topic partitions: %s", strings.Join(twice, ","))
	}
	before := kadm.Offsets{}
	for _, p := range partitions {
		if p.Offset == nil {
			return say("No such field exists: `offset`")
		}
		before.AddOffset(*p.Topic, *p.Partition, *p.Offset, -1)
	}
	e.print("Executing records delete operation\n")
	var deleted kadm.DeleteRecordsResponses
	if len(before) > 0 {
		if deleted, err = admin.DeleteRecords(ctx, before); err != nil {
			return err
		}
	}
	e.print("Records delete operation completed:\n")
	for _, p := range deleted.Sorted() {
		if p.Err != nil {
			e.print("partition: %s-%d\terror: %s\n", p.Topic, p.Partition, javaFailure(p.Err, ""))
			continue
		}
		e.print("partition: %s-%d\tlow_watermark: %d\n", p.Topic, p.Partition, p.LowWatermark)
	}
	return nil
}
