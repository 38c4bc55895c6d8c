package tools

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// streamsGroups is kafka-streams-groups.
type streamsGroups struct {
	groupTool
	deleteAllInternal bool
	internalTopics    []string
}

func streamsGroupsCommand(e *env) *cobra.Command {
	g := &streamsGroups{groupTool: groupTool{
		env: e, kind: "streams", types: []string{streamsType}, topic: "input-topic", allTopics: "all-input-topics",
		states:  []string{"Assigning", "Dead", "Empty", "NotReady", "Reconciling", "Stable"},
		actions: "--list, --describe, --delete, --reset-offsets, or --delete-offsets.",
	}}
	c := g.command(groupActions{
		list: g.listGroups, describe: g.describeGroups, reset: g.resetStreamsOffsets, delete: g.deleteStreamsGroups,
		deleteOffsets: g.deleteOffsets,
	})
	f := c.Flags()
	f.BoolVar(&g.options.topology, "topology", false, "describe the topology, of which this broker keeps no description")
	f.BoolVar(&g.deleteAllInternal, "delete-all-internal-topics", false,
		"delete the internal topics of the group, with --delete or --reset-offsets --execute")
	f.StringArrayVar(&g.internalTopics, "delete-internal-topic", nil,
		"delete an internal `topic` of the group, with --reset-offsets --execute; repeatable")
	connected := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		executed := g.options.target.execute && g.options.reset
		switch {
		case g.deleteAllInternal && g.options.reset && !executed:
			return say("Option [delete-all-internal-topics] takes [execute] when [reset-offsets] is used.")
		case len(g.internalTopics) > 0 && !executed:
			return say("Option [delete-internal-topic] takes [reset-offsets] when [execute] is used.")
		}
		return connected(c, args)
	}
	return c
}

// streamsGroup describes one group, with the broker that is its coordinator.
func (g *streamsGroups) streamsGroup(ctx context.Context,
	name string) (group kmsg.StreamsGroupDescribeResponseGroup, at kadm.BrokerDetail, err error) {
	if at, err = (coordinators{g.admin}).broker(ctx, name); err != nil {
		return group, at, err
	}
	r := kmsg.NewPtrStreamsGroupDescribeRequest()
	r.Groups = []string{name}
	answer, err := r.RequestWith(ctx, g.client.Broker(int(at.NodeID)))
	if err != nil || len(answer.Groups) == 0 {
		return group, at, err
	}
	group = answer.Groups[0]
	if group.ErrorCode != 0 {
		err = say("%s", javaError(group.ErrorCode, group.ErrorMessage))
	}
	return group, at, err
}

func (g *streamsGroups) describeGroups(ctx context.Context, names []string) error {
	for _, name := range names {
		group, coordinator, err := g.streamsGroup(ctx, name)
		if err != nil {
			return err
		}
		switch {
		case g.options.topology:
			return g.fail("\nError: No topology description is stored for streams group '%s'.", name)
		case g.options.stateGiven:
			g.describeState(group, coordinator)
		case g.options.members:
			g.describeMembers(group)
		default:
			if err := g.describeOffsets(ctx, group); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *streamsGroups) describeState(group kmsg.StreamsGroupDescribeResponseGroup, coordinator kadm.BrokerDetail) {
	if group.State == "Empty" {
		g.print("\nError: Streams group '%s' has no active members.\n", group.Group)
	}
	columns := []column{growing("GROUP", 15), growing("COORDINATOR (ID)", 25), fixed("ASSIGNOR", 15), fixed("STATE", 25)}
	row := []string{group.Group, coordinatorOf(coordinator, " "), "sticky", group.State}
	if g.options.verbose {
		columns = append(columns, fixed("GROUP-EPOCH", 15), fixed("TARGET-ASSIGNMENT-EPOCH", 25))
		row = append(row, strconv.Itoa(int(group.Epoch)), strconv.Itoa(int(group.AssignmentEpoch)))
	}
	printColumns(g.stdout, append(columns, fixed("#MEMBERS", 0)),
		[][]string{append(row, strconv.Itoa(len(group.Members)))})
}

func (g *streamsGroups) describeMembers(group kmsg.StreamsGroupDescribeResponseGroup) {
	if len(group.Members) == 0 {
		return
	}
	columns := []column{growing("GROUP", 15), growing("MEMBER", 15), fixed("PROCESS", 15), growing("CLIENT-ID", 15),
		fixed("ASSIGNMENTS", 0)}
	if g.options.verbose {
		columns = []column{growing("GROUP", 15), fixed("TARGET-ASSIGNMENT-EPOCH", 25), fixed("TOPOLOGY-EPOCH", 14),
			growing("MEMBER", 15), fixed("MEMBER-PROTOCOL", 15), fixed("MEMBER-EPOCH", 15), fixed("PROCESS", 15),
			growing("CLIENT-ID", 15), fixed("ASSIGNMENTS", 0)}
	}
	var rows [][]string
	for _, m := range group.Members {
		tasks := tasksOf("", m.Assignment)
		if !g.options.verbose {
			rows = append(rows, []string{group.Group, m.MemberID, m.ProcessID, m.ClientID, tasks})
			continue
		}
		protocol := "streams"
		if m.IsClassic {
			protocol = "classic"
		}
		rows = append(rows, []string{
			group.Group, strconv.Itoa(int(group.AssignmentEpoch)), strconv.Itoa(int(m.TopologyEpoch)), m.MemberID, protocol,
			strconv.Itoa(int(m.MemberEpoch)), m.ProcessID, m.ClientID,
			strings.TrimSpace(tasks + " " + tasksOf("TARGET-", m.TargetAssignment)),
		})
	}
	printColumns(g.stdout, columns, rows)
}

// tasksOf is how the tasks of a member are printed: ACTIVE: 0:[0,1]; STANDBY: 1:[0];
func tasksOf(prefix string, a kmsg.StreamsAssignment) string {
	var parts []string
	add := func(kind string, tasks []kmsg.TaskIDs) {
		var of []string
		for _, t := range tasks {
			of = append(of, t.SubtopologyID+":["+joinNumbers(t.Partitions)+"]")
		}
		if len(of) > 0 {
			parts = append(parts, fmt.Sprintf("%s%s: %s;", prefix, kind, strings.Join(of, ", ")))
		}
	}
	add("ACTIVE", a.ActiveTasks)
	add("STANDBY", a.StandbyTasks)
	add("WARMUP", a.WarmupTasks)
	return strings.Join(parts, " ")
}

// inputTopics returns the topics that the topology of a group reads.
func inputTopics(group kmsg.StreamsGroupDescribeResponseGroup) (topics []string) {
	if group.Topology == nil {
		return nil
	}
	for _, s := range group.Topology.Subtopologies {
		topics = append(topics, s.SourceTopics...)
		for _, t := range s.RepartitionSourceTopics {
			topics = append(topics, t.Topic)
		}
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

func (g *streamsGroups) describeOffsets(ctx context.Context, group kmsg.StreamsGroupDescribeResponseGroup) error {
	topics := inputTopics(group)
	if len(topics) == 0 || len(group.Members) == 0 {
		return nil
	}
	committed, err := g.admin.FetchOffsets(ctx, group.Group)
	if err != nil {
		return err
	}
	starts, err := g.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	ends, err := g.admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, p := range sortedPartitions(ends.Offsets().TopicsSet()) {
		r := newOffsetRow(p.topic, p.partition, committed, ends)
		if start, ok := starts.Lookup(p.topic, p.partition); ok && r.current == "-" {
			end, _ := ends.Lookup(p.topic, p.partition)
			r.lag = strconv.FormatInt(end.Offset-start.Offset, 10)
		}
		row := []string{group.Group, r.topic, r.partition}
		if g.options.verbose {
			row = append(row, r.current, r.leaderEpoch, r.end)
		}
		rows = append(rows, append(row, r.lag))
	}
	columns := []column{growing("GROUP", 15), growing("TOPIC", 15), fixed("PARTITION", 10)}
	if g.options.verbose {
		columns = append(columns, fixed("CURRENT-OFFSET", 15), fixed("LEADER-EPOCH", 15), fixed("LOG-END-OFFSET", 15))
	}
	printColumns(g.stdout, append(columns, fixed("OFFSET-LAG", 0)), rows)
	return nil
}

// deleteStreamsGroups deletes groups, and their internal topics if that is asked for.
func (g *streamsGroups) deleteStreamsGroups(ctx context.Context, names []string) error {
	internal := map[string][]string{}
	if g.deleteAllInternal {
		for _, name := range names {
			if group, _, err := g.streamsGroup(ctx, name); err == nil {
				internal[name] = internalTopics(group)
			}
		}
	}
	deleted, failed, err := g.deletedGroups(ctx, names)
	if err != nil {
		return err
	}
	var cleaned, left []string
	for _, name := range deleted {
		if why := g.deleteTopics(ctx, internal[name]); why != "" {
			left = append(left, fmt.Sprintf("* Internal topics of the streams group '%s' could not be deleted due to: %s", name,
				why))
			continue
		}
		cleaned = append(cleaned, "'"+name+"'")
	}
	g.printDeletion(deleted, failed)
	switch {
	case !g.deleteAllInternal:
	case len(left) > 0:
		g.print("Deletion of some associated internal topics failed:\n%s\n", strings.Join(left, "\n"))
	case len(cleaned) > 0:
		g.print("Deletion of associated internal topics of the streams groups (%s) was successful.\n",
			strings.Join(cleaned, ", "))
	}
	return nil
}

// internalTopics returns the topics that a group has made for itself.
func internalTopics(group kmsg.StreamsGroupDescribeResponseGroup) (topics []string) {
	if group.Topology == nil {
		return nil
	}
	for _, s := range group.Topology.Subtopologies {
		for _, t := range slices.Concat(s.RepartitionSourceTopics, s.StateChangelogTopics) {
			topics = append(topics, t.Topic)
		}
	}
	return topics
}

// resetStreamsOffsets sets the offsets of groups, and deletes their internal topics if that is asked for.
func (g *streamsGroups) resetStreamsOffsets(ctx context.Context, names []string) error {
	if err := g.resetOffsets(ctx, names); err != nil {
		return err
	}
	return g.deleteInternalTopics(ctx, names)
}

// deleteInternalTopics deletes internal topics of groups that were reset.
func (g *streamsGroups) deleteInternalTopics(ctx context.Context, names []string) error {
	if !g.deleteAllInternal && len(g.internalTopics) == 0 {
		return nil
	}
	for _, name := range names {
		group, _, err := g.streamsGroup(ctx, name)
		if err != nil {
			return err
		}
		topics := internalTopics(group)
		if !g.deleteAllInternal {
			topics = slices.DeleteFunc(topics, func(t string) bool { return !slices.Contains(g.internalTopics, t) })
		}
		if why := g.deleteTopics(ctx, topics); why != "" {
			return say("%s", why)
		}
	}
	return nil
}

// deleteTopics deletes topics. It names those that it could not delete, and returns why.
func (g *streamsGroups) deleteTopics(ctx context.Context, topics []string) (why string) {
	if len(topics) == 0 {
		return ""
	}
	answers, err := g.admin.DeleteTopics(ctx, topics...)
	if err != nil {
		return err.Error()
	}
	for _, t := range answers.Sorted() {
		if t.Err != nil {
			g.print("Failed to delete internal topic: %s\n", t.Topic)
			why = javaFailure(t.Err, t.ErrMessage)
		}
	}
	return why
}
