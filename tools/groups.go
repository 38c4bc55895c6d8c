package tools

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// groupsOptions are those of kafka-consumer-groups.
type groupsOptions struct {
	list, describe, reset, delete, deleteOffsets bool
	groups, topics                               []string
	allGroups, allTopics                         bool
	members, offsets, verbose                    bool
	state                                        string
	stateGiven                                   bool
	target                                       resetOptions
}

func groupsCommand(e *env) *cobra.Command {
	var o groupsOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.BoolVar(&o.list, "list", false, "list groups")
	f.BoolVar(&o.describe, "describe", false, "describe groups: offsets and lag, or --members, or --state")
	f.BoolVar(&o.reset, "reset-offsets", false, "change the committed offsets of a group without members")
	f.BoolVar(&o.delete, "delete", false, "delete groups")
	f.BoolVar(&o.deleteOffsets, "delete-offsets", false, "delete the offsets of a group for topics")
	f.StringArrayVar(&o.groups, "group", nil, "the consumer `group`; repeatable")
	f.BoolVar(&o.allGroups, "all-groups", false, "all groups")
	f.StringArrayVar(&o.topics, "topic", nil, "a topic, or `TOPIC:PARTITION,PARTITION`; repeatable")
	f.BoolVar(&o.allTopics, "all-topics", false, "all topics that the group has offsets for")
	f.BoolVar(&o.members, "members", false, "describe members")
	f.BoolVar(&o.verbose, "verbose", false, "with --members, print assignments too")
	f.BoolVar(&o.offsets, "offsets", false, "describe offsets, as without it")
	f.StringVar(&o.state, "state", "", "list or describe states; with --list, only of groups in these `states`")
	f.Lookup("state").NoOptDefVal = " "
	o.target.flags(f)
	ignored(f, "timeout")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.stateGiven = f.Changed("state")
		o.state = strings.TrimSpace(o.state)
		o.target.given(f)
		if err := o.validate(); err != nil {
			return err
		}
		ctx, admin, done, err := e.admin(c.Context())
		if err != nil {
			return err
		}
		defer done()
		if err := e.groups(ctx, admin, o); err != nil && !errors.Is(err, errFailed) {
			return e.fail("\nError: Executing consumer group command failed due to %s", reason(err, ""))
		} else if err != nil {
			return err
		}
		return nil
	}
	return c
}

func (o groupsOptions) validate() error {
	actions := 0
	for _, given := range []bool{o.list, o.describe, o.reset, o.delete, o.deleteOffsets} {
		if given {
			actions++
		}
	}
	switch {
	case actions != 1:
		return say("Command must include exactly one action: --list, --describe, --delete, --reset-offsets, " +
			"--delete-offsets.")
	case !o.list && len(o.groups) == 0 && !o.allGroups:
		return say("Option takes one of these options: all-groups, group")
	case o.deleteOffsets && len(o.topics) == 0:
		return say("Option [delete-offsets] takes the following options: topic, group")
	case o.reset:
		return o.target.validate(len(o.topics) > 0 || o.allTopics)
	}
	return nil
}

func (e *env) groups(ctx context.Context, admin *kadm.Client, o groupsOptions) error {
	if o.list {
		return e.listGroups(ctx, admin, o)
	}
	names := o.groups
	if o.allGroups {
		listed, err := admin.ListGroups(ctx)
		if err != nil {
			return err
		}
		names = listed.Groups()
	}
	switch {
	case o.describe:
		return e.describeGroups(ctx, admin, o, names)
	case o.reset:
		return e.resetOffsets(ctx, admin, o, names)
	case o.deleteOffsets:
		return e.deleteOffsets(ctx, admin, names, o.topics)
	}
	return e.deleteGroups(ctx, admin, names)
}

func (e *env) listGroups(ctx context.Context, admin *kadm.Client, o groupsOptions) error {
	var states []string
	if o.state != "" {
		for _, s := range strings.Split(o.state, ",") {
			states = append(states, strings.TrimSpace(s))
		}
	}
	listed, err := admin.ListGroups(ctx, states...)
	if err != nil {
		return err
	}
	if !o.stateGiven {
		for _, g := range listed.Sorted() {
			e.print("%s\n", g.Group)
		}
		return nil
	}
	width := 15
	for name := range listed {
		width = max(width, len(name))
	}
	width += 10 // as Kafka's tool does
	e.print("%-*s %-20s\n", width, "GROUP", "STATE")
	for _, g := range listed.Sorted() {
		e.print("%-*s %-20s\n", width, g.Group, g.State)
	}
	return nil
}

func (e *env) describeGroups(ctx context.Context, admin *kadm.Client, o groupsOptions, names []string) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	described, err := admin.DescribeGroups(ctx, names...)
	if err != nil {
		return err
	}
	for _, name := range names {
		g := described[name]
		if g.Err != nil || g.State == "Dead" {
			e.print("\nError: Executing consumer group command failed due to "+
				"org.apache.kafka.common.errors.GroupIdNotFoundException: "+
				"Group %s not found.\n", name)
			return nil // as Kafka's tool does
		}
	}
	for _, name := range names {
		g := described[name]
		switch g.State {
		case "Empty":
			e.print("\nConsumer group '%s' has no active members.\n", name)
		case "PreparingRebalance", "CompletingRebalance":
			e.print("\nWarning: Consumer group '%s' is rebalancing.\n", name)
		}
		switch {
		case o.members:
			e.describeMembers(g, o.verbose)
		case o.stateGiven:
			e.describeState(g)
		default:
			if err := e.describeOffsets(ctx, admin, g); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *env) describeState(g kadm.DescribedGroup) {
	coordinator := fmt.Sprintf("%s:%d  (%d)", g.Coordinator.Host, g.Coordinator.Port, g.Coordinator.NodeID)
	group, column := max(15, len(g.Group)), max(25, len(coordinator))
	strategy := g.Protocol
	if strategy == "" {
		strategy = "-"
	}
	e.print("\n%-*s %-*s %-20s %-20s %s\n", group, "GROUP", column, "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE",
		"#MEMBERS")
	e.print("%-*s %-*s %-20s %-20s %d\n", group, g.Group, column, coordinator, strategy, g.State, len(g.Members))
}

// assignment is what a member reads: "orders:0,1".
func assignment(m kadm.DescribedGroupMember) (partitions int, words string) {
	assigned, ok := m.Assigned.AsConsumer()
	if !ok || len(assigned.Topics) == 0 {
		return 0, "-"
	}
	var parts []string
	for _, t := range assigned.Topics {
		partitions += len(t.Partitions)
		numbers := slices.Clone(t.Partitions)
		slices.Sort(numbers)
		parts = append(parts, fmt.Sprintf("%s:%s", t.Topic, joinNumbers(numbers)))
	}
	slices.Sort(parts)
	if partitions == 0 {
		return 0, "-"
	}
	return partitions, strings.Join(parts, ";")
}

func (e *env) describeMembers(g kadm.DescribedGroup, verbose bool) {
	group, id, host, client, instance := max(15, len(g.Group)), 15, 15, 15, 17
	withInstances := false
	for _, m := range g.Members {
		id, host, client = max(id, len(m.MemberID)), max(host, len(m.ClientHost)), max(client, len(m.ClientID))
		if m.InstanceID != nil {
			withInstances = true
			instance = max(instance, len(*m.InstanceID))
		}
	}
	assignments := 20
	for _, m := range g.Members {
		_, assigned := assignment(m)
		assignments = max(assignments, len(assigned))
	}
	line := func(name, member, instanceID, from, clientID, partitions, epoch, assigned, targetEpoch, target string) {
		e.print("%-*s %-*s ", group, name, id, member)
		if withInstances {
			e.print("%-*s ", instance, instanceID)
		}
		e.print("%-*s %-*s %-15s ", host, from, client, clientID, partitions)
		if verbose {
			e.print("%-15s %-*s %-15s %s", epoch, assignments, assigned, targetEpoch, target)
		}
		e.print("\n")
	}
	e.print("\n")
	line("GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS",
		"CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT")
	for _, m := range g.Members {
		instanceID := ""
		if m.InstanceID != nil {
			instanceID = *m.InstanceID
		}
		partitions, assigned := assignment(m)
		line(g.Group, m.MemberID, instanceID, m.ClientHost, m.ClientID, strconv.Itoa(partitions), "-", assigned, "-", "-")
	}
}

// offsetRow is one line of the description of a group.
type offsetRow struct{ topic, partition, current, end, lag, member, host, client string }

func (e *env) describeOffsets(ctx context.Context, admin *kadm.Client, g kadm.DescribedGroup) error {
	rows, err := offsetRows(ctx, admin, g)
	if err != nil || len(rows) == 0 {
		return err
	}
	group, topic, member, host := max(15, len(g.Group)), 15, 15, 15
	for _, r := range rows {
		topic, member, host = max(topic, len(r.topic)), max(member, len(r.member)), max(host, len(r.host))
	}
	line := func(name string, r offsetRow) {
		e.print("%-*s %-*s %-10s %-15s %-15s %-15s %-*s %-*s %s\n", group, name, topic, r.topic, r.partition, r.current,
			r.end, r.lag,
			member, r.member, host, r.host, r.client)
	}
	e.print("\n")
	line("GROUP", offsetRow{
		topic: "TOPIC", partition: "PARTITION", current: "CURRENT-OFFSET", end: "LOG-END-OFFSET", lag: "LAG",
		member: "CONSUMER-ID", host: "HOST", client: "CLIENT-ID",
	})
	for _, r := range rows {
		line(g.Group, r)
	}
	return nil
}

// offsetRows returns the rows of assigned partitions, by member, and then those of the rest with an offset.
func offsetRows(ctx context.Context, admin *kadm.Client, g kadm.DescribedGroup) ([]offsetRow, error) {
	committed, err := admin.FetchOffsets(ctx, g.Group)
	if err != nil {
		return nil, err
	}
	ends := kadm.ListedOffsets{}
	topics := g.AssignedPartitions()
	committed.Each(func(o kadm.OffsetResponse) { topics.Add(o.Topic, o.Partition) })
	if len(topics) > 0 {
		if ends, err = admin.ListEndOffsets(ctx, topics.Topics()...); err != nil {
			return nil, err
		}
	}
	row := func(topic string, partition int32) offsetRow {
		r := offsetRow{topic: topic, partition: strconv.Itoa(int(partition)), current: "-", end: "-", lag: "-", member: "-",
			host: "-", client: "-"}
		end, known := ends.Lookup(topic, partition)
		if known && end.Err == nil {
			r.end = strconv.FormatInt(end.Offset, 10)
		}
		if o, ok := committed.Lookup(topic, partition); ok && o.Err == nil && o.At >= 0 {
			r.current = strconv.FormatInt(o.At, 10)
			if r.end != "-" {
				r.lag = strconv.FormatInt(end.Offset-o.At, 10)
			}
		}
		return r
	}
	var rows []offsetRow
	shown := kadm.TopicsSet{}
	for _, m := range g.Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		mine := kadm.TopicsSet{}
		for _, t := range assigned.Topics {
			mine.Add(t.Topic, t.Partitions...)
		}
		for _, t := range mine.Sorted() {
			for _, p := range t.Partitions {
				r := row(t.Topic, p)
				r.member, r.host, r.client = m.MemberID, m.ClientHost, m.ClientID
				rows = append(rows, r)
				shown.Add(t.Topic, p)
			}
		}
	}
	for _, t := range topics.Sorted() {
		for _, p := range t.Partitions {
			if !shown.Lookup(t.Topic, p) {
				rows = append(rows, row(t.Topic, p))
			}
		}
	}
	return rows, nil
}

func (e *env) deleteGroups(ctx context.Context, admin *kadm.Client, names []string) error {
	responses, err := admin.DeleteGroups(ctx, names...)
	if err != nil {
		return err
	}
	var deleted, failed []string
	for _, r := range responses.Sorted() {
		if r.Err == nil {
			deleted = append(deleted, "'"+r.Group+"'")
			continue
		}
		failed = append(failed, fmt.Sprintf("* Group '%s' could not be deleted due to: %s", r.Group, groupError(r.Err)))
	}
	if len(failed) == 0 {
		e.print("Deletion of requested consumer groups (%s) was successful.\n", strings.Join(deleted, ", "))
		return nil
	}
	e.print("\nError: Deletion of some consumer groups failed:\n%s\n", strings.Join(failed, "\n"))
	if len(deleted) > 0 {
		e.print("\nThese consumer groups were deleted successfully: %s\n", strings.Join(deleted, ", "))
	}
	return nil
}

// groupError is Kafka's exception and its text for what a deletion can fail with.
func groupError(err error) string {
	const exceptions = "org.apache.kafka.common.errors."
	switch {
	case errors.Is(err, kerr.GroupIDNotFound):
		return exceptions + "GroupIdNotFoundException: The group id does not exist."
	case errors.Is(err, kerr.NonEmptyGroup):
		return exceptions + "GroupNotEmptyException: The group is not empty."
	}
	return reason(err, "")
}

func (e *env) deleteOffsets(ctx context.Context, admin *kadm.Client, names, topics []string) error {
	for _, name := range names {
		scope, err := partitionScope(ctx, admin, topics)
		if err != nil {
			return err
		}
		responses, err := admin.DeleteOffsets(ctx, name, scope)
		switch {
		case errors.Is(err, kerr.GroupIDNotFound):
			return e.fail("'%s' is not a valid group ID", name)
		case err != nil:
			return err
		}
		failed := responses.Error()
		if failed != nil {
			e.print("\nEncountered some partition-level error, see the follow-up details:\n")
		} else {
			e.print("Request succeeded for deleting offsets from group %s.\n", name)
		}
		width := 15
		for topic := range scope {
			width = max(width, len(topic))
		}
		e.print("\n%-*s %-10s %s\n", width, "TOPIC", "PARTITION", "STATUS")
		for _, t := range scope.Sorted() {
			for _, p := range t.Partitions {
				status := "Successful"
				if err := responses[t.Topic][p]; err != nil {
					status = "Error: " + reason(err, "")
				}
				e.print("%-*s %-10d %s\n", width, t.Topic, p, status)
			}
		}
	}
	return nil
}

// partitionScope reads TOPIC and TOPIC:0,1; a topic alone means all of its partitions.
func partitionScope(ctx context.Context, admin *kadm.Client, topics []string) (kadm.TopicsSet, error) {
	scope := kadm.TopicsSet{}
	var whole []string
	for _, entry := range topics {
		name, list, found := strings.Cut(entry, ":")
		if !found {
			whole = append(whole, name)
			continue
		}
		for _, number := range strings.Split(list, ",") {
			p, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
			if err != nil {
				return nil, say("Invalid topic arg '%s', expected format: 'topic:partitions'", entry)
			}
			scope.Add(name, int32(p))
		}
	}
	if len(whole) == 0 {
		return scope, nil
	}
	metadata, err := admin.ListTopicsWithInternal(ctx, whole...)
	if err != nil {
		return nil, err
	}
	for _, t := range metadata.Sorted() {
		if t.Err != nil {
			return nil, say("org.apache.kafka.common.errors.UnknownTopicOrPartitionException: This server does not host this " +
				"topic-partition.")
		}
		scope.Add(t.Topic, t.Partitions.Numbers()...)
	}
	return scope, nil
}
