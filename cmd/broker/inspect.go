package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"once/inspect"
	"once/internal/vfs"
)

// checkCommand is broker check: exit 0 when the directory is clean, 3 when it is damaged, 2 when it
// cannot be read.
func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check DIR",
		Short: "Verify the data directory of a stopped broker, changing nothing",
		Args:  exactly("DIR"),
		RunE: func(c *cobra.Command, args []string) error {
			report, err := inspect.Check(vfs.OS, args[0], inspect.Options{Progress: c.ErrOrStderr()})
			if err != nil {
				return err
			}
			return errors.Join(report.Write(c.OutOrStdout()), report.Err())
		},
	}
}

// dumpCommand is broker dump and what can be dumped.
func dumpCommand() *cobra.Command {
	dump := &cobra.Command{
		Use:   "dump",
		Short: "Print what is in the data directory of a stopped broker",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("broker dump has no %q", args[0])}
			}
			return usageError{errors.New("broker dump needs to know what")}
		},
	}
	var o inspect.SegmentOptions
	segments := partitionDump("segments", "Print the batches of a partition, and their records",
		func(w io.Writer, dir, partition string) error {
			return inspect.DumpSegments(w, vfs.OS, dir, partition, o)
		})
	flags := segments.Flags()
	flags.SortFlags = false
	flags.Int64Var(&o.From, "from", 0, "first `offset`")
	flags.Int64Var(&o.To, "to", 0, "`offset` to stop before; 0 for the end")
	flags.BoolVar(&o.Records, "records", false, "print each record, with the sizes of key and value")
	flags.BoolVar(&o.Values, "values", false, "print each record with key, value and headers")
	dump.AddCommand(
		segments,
		partitionDump("indexes", "Print the indexes and leader epochs of a partition",
			func(w io.Writer, dir, partition string) error {
				return inspect.DumpIndexes(w, vfs.OS, dir, partition)
			}),
		partitionDump("snapshots", "Print the producer snapshots of a partition",
			func(w io.Writer, dir, partition string) error {
				return inspect.DumpSnapshots(w, vfs.OS, dir, partition)
			}),
		directoryDump("transactions", "Print __transaction_state", inspect.DumpTransactions),
		directoryDump("offsets", "Print __consumer_offsets", inspect.DumpOffsets),
		directoryDump("share-states", "Print __share_group_state", inspect.DumpShareStates),
		directoryDump("meta", "Print topics and what else no log can give back", inspect.DumpMeta),
		directoryDump("barrier", "Print the barrier records", inspect.DumpBarrier),
	)
	return dump
}

func partitionDump(name, short string, dump func(w io.Writer, dir, partition string) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " DIR TOPIC-PARTITION", Short: short, Args: exactly("DIR", "TOPIC-PARTITION"),
		RunE: func(c *cobra.Command, args []string) error { return dump(c.OutOrStdout(), args[0], args[1]) },
	}
}

func directoryDump(name, short string, dump func(w io.Writer, under vfs.FS, dir string) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " DIR", Short: short, Args: exactly("DIR"),
		RunE: func(c *cobra.Command, args []string) error { return dump(c.OutOrStdout(), vfs.OS, args[0]) },
	}
}

// exactly requires these arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("%s needs %v, not %q", c.CommandPath(), names, args)}
		}
		return nil
	}
}
