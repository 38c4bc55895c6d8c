package tools

import (
	"context"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shareGroups is kafka-share-groups.
type shareGroups struct{ groupTool }

func shareGroupsCommand(e *env) *cobra.Command {
	g := &shareGroups{groupTool{
		env: e, kind: "share", types: []string{shareType}, topic: "topic", allTopics: "all-topics",
		states:  []string{"Dead", "Empty", "Stable"},
		actions: "--list, --describe, --delete, --reset-offsets, --delete-offsets.",
	}}
	return g.command(groupActions{
		list: g.listGroups, describe: g.describeGroups, reset: g.resetOffsets, delete: g.deleteGroups,
		deleteOffsets: g.deleteShareOffsets,
	})
}

// listGroups prints the names of the groups, with --state in a table with their states.
func (g *groupTool) listGroups(ctx context.Context) error {
	groups, err := listedGroups(ctx, g.client, g.types, g.options.states)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, group := range groups {
		rows = append(rows, []string{group.Group, group.GroupState})
	}
	if g.options.stateGiven {
		printColumns(g.stdout, []column{growing("GROUP", 15), fixed("STATE", 0)}, rows)
		return nil
	}
	for _, row := range rows {
		g.print("%s\n", row[0])
	}
	return nil
}

func (g *shareGroups) describeGroups(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	r := kmsg.NewPtrShareGroupDescribeRequest()
	r.GroupIDs = names
	answer, err := r.RequestWith(ctx, g.client)
	if err != nil {
		return err
	}
	for _, group := range answer.Groups {
		if group.ErrorCode != 0 {
			return say("%s", javaError(group.ErrorCode, group.ErrorMessage))
		}
	}
	for _, group := range answer.Groups {
		if !g.options.members && !g.options.stateGiven {
			if err := g.describeOffsets(ctx, group.GroupID); err != nil {
				return err
			}
			continue
		}
		if group.GroupState == "Empty" {
			g.print("\nShare group '%s' has no active members.\n", group.GroupID)
		}
		switch {
		case g.options.stateGiven:
			if err := g.describeState(ctx, group); err != nil {
				return err
			}
		case len(group.Members) > 0:
			g.describeMembers(group)
		}
	}
	return nil
}

func (g *shareGroups) describeState(ctx context.Context, group kmsg.ShareGroupDescribeResponseGroup) error {
	coordinator, err := coordinators{g.admin}.of(ctx, group.GroupID, "  ")
	if err != nil {
		return err
	}
	columns := []column{growing("GROUP", 15), growing("COORDINATOR (ID)", 25), fixed("STATE", 15)}
	row := []string{group.GroupID, coordinator, group.GroupState}
	if g.options.verbose {
		columns = append(columns, fixed("GROUP-EPOCH", 12), fixed("ASSIGNMENT-EPOCH", 17))
		row = append(row, strconv.Itoa(int(group.GroupEpoch)), strconv.Itoa(int(group.AssignmentEpoch)))
	}
	g.print("\n")
	printColumns(g.stdout, append(columns, fixed("#MEMBERS", 0)),
		[][]string{append(row, strconv.Itoa(len(group.Members)))})
	return nil
}

func (g *shareGroups) describeMembers(group kmsg.ShareGroupDescribeResponseGroup) {
	columns := []column{growing("GROUP", 15), growing("CONSUMER-ID", 15), growing("HOST", 15), growing("CLIENT-ID", 15),
		fixed("#PARTITIONS", 12)}
	if g.options.verbose {
		columns = append(columns, fixed("MEMBER-EPOCH", 13))
	}
	var rows [][]string
	for _, m := range group.Members {
		set := kadm.TopicsSet{}
		for _, t := range m.Assignment.TopicPartitions {
			set.Add(t.Topic, t.Partitions...)
		}
		partitions, assigned := partitionsOf(set)
		row := []string{group.GroupID, m.MemberID, m.ClientHost, m.ClientID, strconv.Itoa(partitions)}
		if g.options.verbose {
			row = append(row, strconv.Itoa(int(m.MemberEpoch)))
		}
		rows = append(rows, append(row, assigned))
	}
	g.print("\n")
	printColumns(g.stdout, append(columns, fixed("ASSIGNMENT", 0)), rows)
}

func (g *shareGroups) describeOffsets(ctx context.Context, group string) error {
	r := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	of := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	of.GroupID = group
	r.Groups = append(r.Groups, of)
	answer, err := r.RequestWith(ctx, g.client)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, described := range answer.Groups {
		if described.ErrorCode != 0 {
			return say("%s", javaError(described.ErrorCode, described.ErrorMessage))
		}
		for _, t := range described.Topics {
			for _, p := range t.Partitions {
				row := []string{group, t.Topic, strconv.Itoa(int(p.Partition))}
				if g.options.verbose {
					row = append(row, knownNumber(int64(p.LeaderEpoch), p.StartOffset))
				}
				rows = append(rows, append(row, knownNumber(p.StartOffset, p.StartOffset), knownNumber(p.Lag, p.StartOffset)))
			}
		}
	}
	if len(rows) == 0 {
		g.print("\nShare group '%s' has no offset information.\n", group)
		return nil
	}
	slices.SortFunc(rows, compareRows)
	columns := []column{growing("GROUP", 15), growing("TOPIC", 15), fixed("PARTITION", 10)}
	if g.options.verbose {
		columns = append(columns, fixed("LEADER-EPOCH", 13))
	}
	g.print("\n")
	printColumns(g.stdout, append(columns, fixed("START-OFFSET", 13), fixed("LAG", 0)), rows)
	return nil
}

// compareRows orders rows of group, topic and partition.
func compareRows(a, b []string) int {
	if a[1] != b[1] || len(a[2]) == len(b[2]) {
		return slices.Compare(a, b)
	}
	return len(a[2]) - len(b[2])
}

// knownNumber is a number, or a dash for a share partition that has no start offset yet.
func knownNumber(n, startOffset int64) string {
	if n < 0 || startOffset < 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

// deleteShareOffsets deletes the offsets of share groups for topics.
func (g *shareGroups) deleteShareOffsets(ctx context.Context, names []string) error {
	topics := slices.Clone(g.options.topics)
	if len(topics) == 0 {
		return g.missingGroup()
	}
	slices.Sort(topics)
	for _, name := range names {
		r := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
		r.GroupID = name
		for _, topic := range topics {
			of := kmsg.NewDeleteShareGroupOffsetsRequestTopic()
			of.Topic = topic
			r.Topics = append(r.Topics, of)
		}
		answer, err := r.RequestWith(ctx, g.client)
		if err != nil {
			return err
		}
		status := map[string]string{}
		for _, t := range answer.Topics {
			if t.ErrorCode != 0 {
				status[t.Topic] = "Error: " + messageOf(t.ErrorCode, t.ErrorMessage)
			}
		}
		if answer.ErrorCode != 0 {
			g.print("\nError: %s\n", messageOf(answer.ErrorCode, answer.ErrorMessage))
		}
		var rows [][]string
		for _, topic := range topics {
			switch {
			case answer.ErrorCode != 0:
				status[topic] = "Error: " + messageOf(answer.ErrorCode, answer.ErrorMessage)
			case status[topic] == "":
				status[topic] = "Successful"
			}
			rows = append(rows, []string{topic, status[topic]})
		}
		g.print("\n")
		printColumns(g.stdout, []column{growing("TOPIC", 15), fixed("STATUS", 0)}, rows)
	}
	return nil
}
