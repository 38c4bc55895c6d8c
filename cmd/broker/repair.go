package main

import (
	"github.com/spf13/cobra"

	"once/internal/vfs"
	"once/repair"
)

// repairCommand is broker repair: exit 0 when no damage is left, 3 when some is, 2 when the directory cannot be read.
func repairCommand() *cobra.Command {
	var o repair.Options
	c := &cobra.Command{
		Use:   "repair DIR",
		Short: "Put what is whole of damaged segments into new ones, in the data directory of a stopped broker",
		Long: "Says what is damaged in the data directory of a stopped broker, what of it is whole, and what would\n" +
			"be lost by a repair. With --yes it puts the whole batches of each damaged segment into a new segment, and\n" +
			"keeps the damaged file under another name.",
		Args: exactly("DIR"),
		RunE: func(c *cobra.Command, args []string) error {
			return repair.Run(c.OutOrStdout(), vfs.OS, args[0], o)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&o.Partitions, "partition", nil, "look at this partition only, `TOPIC-PARTITION`; repeatable")
	flags.BoolVar(&o.Yes, "yes", false, "do it")
	return c
}
