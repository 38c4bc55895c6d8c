package tools

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// consumerGroups is kafka-consumer-groups.
type consumerGroups struct{ groupTool }

func consumerGroupsCommand(e *env) *cobra.Command {
	g := &consumerGroups{groupTool{
		env: e, kind: "consumer", types: []string{consumerType, classicType}, topic: "topic", allTopics: "all-topics",
		states:  []string{"Assigning", "CompletingRebalance", "Dead", "Empty", "PreparingRebalance", "Reconciling", "Stable"},
		actions: "--list, --describe, --delete, --reset-offsets, --delete-offsets, --validate-regex",
	}}
	c := g.command(groupActions{
		list: g.listGroups, describe: g.describeGroups, reset: g.resetOffsets, delete: g.deleteGroups,
		deleteOffsets: g.deleteOffsets,
	})
	f := c.Flags()
	f.StringVar(&g.options.types, "type", "", "with --list, the types of groups; only groups of these `types`")
	f.Lookup("type").NoOptDefVal = " "
	f.StringVar(&g.options.expression, "validate-regex", "", "check a regular `expression`, as subscriptions have them")
	return c
}

// validateRegex checks an expression as the broker does.
func (g *groupTool) validateRegex(expression string) {
	_, err := regexp.Compile(expression)
	if err == nil {
		g.print("The regular expression `%s` is valid.\n", expression)
		return
	}
	why := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	if i := strings.LastIndex(why, ": `"); i >= 0 {
		why = why[:i]
	}
	g.print("The regular expression `%s` is invalid: %s.\n", expression, why)
}

func (g *consumerGroups) listGroups(ctx context.Context) error {
	o := g.options
	types := o.ofTypes
	if types == nil {
		types = g.types
	}
	groups, err := listedGroups(ctx, g.client, types, o.states)
	if err != nil {
		return err
	}
	columns := []column{growing("GROUP", 15)}
	if o.typesGiven {
		columns = append(columns, fixed("TYPE", 20))
	}
	if o.stateGiven {
		columns = append(columns, fixed("STATE", 20))
	}
	var rows [][]string
	for _, group := range groups {
		if !isConsumerGroup(group) {
			continue
		}
		columns[0].width = max(columns[0].width, len(group.Group))
		row := []string{group.Group}
		if o.typesGiven {
			row = append(row, group.GroupType)
		}
		if o.stateGiven {
			row = append(row, group.GroupState)
		}
		rows = append(rows, row)
	}
	if len(columns) == 1 {
		for _, row := range rows {
			g.print("%s\n", row[0])
		}
		return nil
	}
	columns[0].width += 10 // as Kafka's tool does
	printColumns(g.stdout, columns, rows)
	return nil
}

func (g *consumerGroups) describeGroups(ctx context.Context, names []string) error {
	groups, err := describedGroups(ctx, g.client, names)
	if err != nil {
		return err
	}
	for _, group := range groups {
		switch group.state {
		case "Empty":
			g.print("\nConsumer group '%s' has no active members.\n", group.name)
		case "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling":
			g.print("\nWarning: Consumer group '%s' is rebalancing.\n", group.name)
		}
		switch {
		case g.options.members:
			g.describeMembers(group)
		case g.options.stateGiven:
			g.describeState(group)
		default:
			if err := g.describeOffsets(ctx, group); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *consumerGroups) describeState(group describedGroup) {
	columns := []column{growing("GROUP", 15), growing("COORDINATOR (ID)", 25), fixed("ASSIGNMENT-STRATEGY", 20),
		fixed("STATE", 20)}
	strategy := group.assignor
	if strategy == "" {
		strategy = "-"
	}
	row := []string{group.name, group.coordinator, strategy, group.state}
	if g.options.verbose {
		columns = append(columns, fixed("GROUP-EPOCH", 15), fixed("TARGET-ASSIGNMENT-EPOCH", 25))
		row = append(row, group.epoch, group.targetEpoch)
	}
	g.print("\n")
	printColumns(g.stdout, append(columns, fixed("#MEMBERS", 0)),
		[][]string{append(row, strconv.Itoa(len(group.members)))})
}

// partitionsOf is how an assignment is printed, orders:0,1, and how many partitions it has.
func partitionsOf(assigned kadm.TopicsSet) (partitions int, words string) {
	var parts []string
	for _, t := range assigned.Sorted() {
		partitions += len(t.Partitions)
		parts = append(parts, t.Topic+":"+joinNumbers(t.Partitions))
	}
	if partitions == 0 {
		return 0, "-"
	}
	return partitions, strings.Join(parts, ";")
}

func (g *consumerGroups) describeMembers(group describedGroup) {
	withInstances := slices.ContainsFunc(group.members, func(m groupMember) bool { return m.instance != nil })
	columns := []column{growing("GROUP", 15), growing("CONSUMER-ID", 15)}
	if withInstances {
		columns = append(columns, growing("GROUP-INSTANCE-ID", 17))
	}
	columns = append(columns, growing("HOST", 15), growing("CLIENT-ID", 15), fixed("#PARTITIONS", 15))
	if g.options.verbose {
		columns = append(columns, fixed("CURRENT-EPOCH", 15), growing("CURRENT-ASSIGNMENT", 20), fixed("TARGET-EPOCH", 15),
			fixed("TARGET-ASSIGNMENT", 0))
	}
	var rows [][]string
	for _, m := range group.members {
		row := []string{group.name, m.id}
		if withInstances {
			instance := ""
			if m.instance != nil {
				instance = *m.instance
			}
			row = append(row, instance)
		}
		partitions, assigned := partitionsOf(m.assigned)
		row = append(row, m.host, m.client, strconv.Itoa(partitions))
		if g.options.verbose {
			_, target := partitionsOf(m.target)
			row = append(row, m.epoch, assigned, m.targetEpoch, target)
		}
		rows = append(rows, row)
	}
	g.print("\n")
	printColumns(g.stdout, columns, rows)
}

func (g *consumerGroups) describeOffsets(ctx context.Context, group describedGroup) error {
	offsets, err := offsetRows(ctx, g.admin, group)
	if err != nil || len(offsets) == 0 {
		return err
	}
	columns := []column{growing("GROUP", 15), growing("TOPIC", 15), fixed("PARTITION", 10)}
	if g.options.verbose {
		columns = append(columns, fixed("LEADER-EPOCH", 15))
	}
	columns = append(columns, fixed("CURRENT-OFFSET", 15), fixed("LOG-END-OFFSET", 15), fixed("LAG", 15),
		growing("CONSUMER-ID", 15), growing("HOST", 15), fixed("CLIENT-ID", 0))
	var rows [][]string
	for _, r := range offsets {
		row := []string{group.name, r.topic, r.partition}
		if g.options.verbose {
			row = append(row, r.leaderEpoch)
		}
		rows = append(rows, append(row, r.current, r.end, r.lag, r.member, r.host, r.client))
	}
	g.print("\n")
	printColumns(g.stdout, columns, rows)
	return nil
}
