package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reassignOptions are those of kafka-reassign-partitions.
type reassignOptions struct {
	generate, execute, verify, cancel, list bool
	file, topicsFile, brokers               string
	preserveThrottles                       bool
}

// reassignCommand is kafka-reassign-partitions. On one broker there is nowhere to move a partition to: what can be
// asked for is what is there already.
func reassignCommand(e *env) *cobra.Command {
	var o reassignOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.BoolVar(&o.generate, "generate", false, "print a reassignment of topics to brokers")
	f.BoolVar(&o.execute, "execute", false, "start a reassignment")
	f.BoolVar(&o.verify, "verify", false, "print whether a reassignment is complete")
	f.BoolVar(&o.cancel, "cancel", false, "cancel a reassignment")
	f.BoolVar(&o.list, "list", false, "list reassignments")
	f.StringVar(&o.file, "reassignment-json-file", "", "a `file` with partitions and their replicas")
	f.StringVar(&o.topicsFile, "topics-to-move-json-file", "", "with --generate, a `file` with topics")
	f.StringVar(&o.brokers, "broker-list", "", "with --generate, the brokers, `ID,ID`")
	f.BoolVar(&o.preserveThrottles, "preserve-throttles", false, "leave throttles as they are")
	for _, option := range []string{"additional", "disable-rack-aware", "disallow-replication-factor-change"} {
		f.Bool(option, false, "has no effect")
	}
	ignored(f, "throttle", "replica-alter-log-dirs-throttle", "timeout")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.validate(f); err != nil {
			return err
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			r := reassignment{env: e, options: o, client: client, admin: kadm.NewClient(client)}
			err := r.run(ctx)
			if err != nil && !errors.Is(err, errFailed) {
				return e.fail("Error: %s", reason(err, ""))
			}
			return err
		})
	}
	return c
}

func (o reassignOptions) validate(f *pflag.FlagSet) error {
	if given(f, "generate", "execute", "verify", "cancel", "list") != 1 {
		return say("Command must include exactly one action: --generate, --execute, --verify, --cancel, --list")
	}
	var err error
	switch {
	case o.generate:
		err = required(f, "topics-to-move-json-file", "broker-list")
	case !o.list:
		err = required(f, "reassignment-json-file")
	case f.Changed("throttle"):
		err = say("Option \"[throttle]\" can't be used with action \"[list]\"")
	}
	return err
}

// reassignment is one run of kafka-reassign-partitions with its connection.
type reassignment struct {
	*env
	options reassignOptions
	client  *kgo.Client
	admin   *kadm.Client
}

// printedAssignment is one partition as the tool prints it, in this order.
type printedAssignment struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Replicas  []int32  `json:"replicas"`
	LogDirs   []string `json:"log_dirs"`
}

// printedAssignments returns the text of a reassignment, which --execute takes.
func printedAssignments(partitions []printedAssignment) (string, error) {
	text, err := json.Marshal(struct {
		Version    int                 `json:"version"`
		Partitions []printedAssignment `json:"partitions"`
	}{1, partitions})
	return string(text), err
}

func (r *reassignment) run(ctx context.Context) error {
	switch o := r.options; {
	case o.list:
		return r.list(ctx)
	case o.generate:
		return r.generate(ctx)
	}
	file, err := readJSON(r.options.file)
	if err != nil {
		return err
	}
	partitions, err := file.partitions()
	switch {
	case err != nil:
		return err
	case len(partitions) == 0:
		return say("Partition reassignment list cannot be empty")
	}
	if twice := duplicates(partitions); len(twice) > 0 {
		return say("Partition reassignment contains duplicate topic partitions: %s", strings.Join(twice, ","))
	}
	slices.SortFunc(partitions, func(a, b jsonPartition) int {
		return slices.Compare([]string{*a.Topic, fmt.Sprintf("%10d", *a.Partition)},
			[]string{*b.Topic, fmt.Sprintf("%10d", *b.Partition)})
	})
	switch {
	case r.options.execute:
		return r.execute(ctx, partitions)
	case r.options.verify:
		return r.verify(ctx, partitions)
	}
	r.print("None of the specified partition reassignments are active.\n" +
		"None of the specified partition moves are active.") // Kafka's tool does not end this line either
	return r.clearThrottles(partitions)
}

func (r *reassignment) list(ctx context.Context) error {
	ongoing, err := r.admin.ListPartitionReassignments(ctx, nil)
	if err != nil {
		return err
	}
	if len(ongoing) == 0 {
		r.print("No partition reassignments found.\n")
		return nil
	}
	r.print("Current partition reassignments:\n")
	for _, p := range ongoing.Sorted() {
		r.print("%s: replicas: %s. adding: %s. removing: %s.\n", partitionName(p.Topic, p.Partition), joinNumbers(p.Replicas),
			joinNumbers(p.AddingReplicas), joinNumbers(p.RemovingReplicas))
	}
	return nil
}

// current returns the assignment of all partitions of topics.
func (r *reassignment) current(ctx context.Context, topics []string) (map[string]printedAssignment, error) {
	slices.Sort(topics)
	metadata, err := r.admin.ListTopicsWithInternal(ctx, slices.Compact(topics)...)
	if err != nil {
		return nil, err
	}
	dirs, err := r.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return nil, err
	}
	assigned := map[string]printedAssignment{}
	for _, t := range metadata.Sorted() {
		if t.Err != nil {
			why := fmt.Sprintf("Topic %s not found.", t.Topic)
			return nil, say("%s", javaError(kerr.UnknownTopicOrPartition.Code, &why))
		}
		for _, p := range t.Partitions.Sorted() {
			a := printedAssignment{Topic: t.Topic, Partition: p.Partition, Replicas: p.Replicas}
			for _, id := range p.Replicas {
				dir := "any"
				if at, ok := dirs[id].LookupPartition(t.Topic, p.Partition); ok {
					dir = at.Dir
				}
				a.LogDirs = append(a.LogDirs, dir)
			}
			assigned[partitionName(t.Topic, p.Partition)] = a
		}
	}
	return assigned, nil
}

// generate prints the present assignment, and one with replicas on the given brokers. Brokers that do not exist cannot
// have any.
func (r *reassignment) generate(ctx context.Context) error {
	file, err := readJSON(r.options.topicsFile)
	if err != nil {
		return err
	}
	if file.Topics == nil {
		return say("Missing topics field")
	}
	var topics []string
	for _, t := range *file.Topics {
		topics = append(topics, t.Topic)
	}
	current, err := r.current(ctx, topics)
	if err != nil {
		return err
	}
	brokers, err := r.admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	var among []int32
	for _, word := range splitList(r.options.brokers) {
		id, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return say("For input string: \"%s\"", word)
		}
		if slices.Contains(brokers.NodeIDs(), int32(id)) {
			among = append(among, int32(id))
		}
	}
	if len(among) == 0 {
		return say("Replication factor: 1 larger than available brokers: 0.")
	}
	var now, proposed []printedAssignment
	for _, a := range sortedAssignments(current) {
		now = append(now, a)
		a.Replicas, a.LogDirs = among[:1], []string{"any"}
		proposed = append(proposed, a)
	}
	before, err := printedAssignments(now)
	if err != nil {
		return err
	}
	after, err := printedAssignments(proposed)
	r.print("Current partition replica assignment\n%s\n\nProposed partition reassignment configuration\n%s\n", before,
		after)
	return err
}

func sortedAssignments(assigned map[string]printedAssignment) (all []printedAssignment) {
	for _, a := range assigned {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b printedAssignment) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition - b.Partition)
	})
	return all
}

// topicsIn returns the topics of a list of partitions.
func topicsIn(partitions []jsonPartition) (topics []string) {
	for _, p := range partitions {
		topics = append(topics, *p.Topic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

func (r *reassignment) execute(ctx context.Context, partitions []jsonPartition) error {
	brokers, err := r.admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		for _, id := range p.Replicas {
			if !slices.Contains(brokers.NodeIDs(), id) {
				return say("Unknown broker id %d", id)
			}
		}
	}
	current, err := r.current(ctx, topicsIn(partitions))
	if err != nil {
		return err
	}
	var now []printedAssignment
	var request kadm.AlterPartitionAssignmentsReq
	for _, p := range partitions {
		if a, ok := current[p.String()]; ok {
			now = append(now, a)
		}
		request.Assign(*p.Topic, *p.Partition, p.Replicas)
	}
	text, err := printedAssignments(now)
	if err != nil {
		return err
	}
	r.print("Current partition replica assignment\n\n%s\n\n"+
		"Save this to use as the --reassignment-json-file option during rollback\n", text)
	altered, err := r.admin.AlterPartitionAssignments(ctx, request)
	if err != nil {
		return err
	}
	var failed, names []string
	for _, p := range altered.Sorted() {
		if p.Err != nil {
			failed = append(failed, fmt.Sprintf("%s: %s", partitionName(p.Topic, p.Partition), reason(p.Err, p.ErrMessage)))
		}
	}
	if len(failed) > 0 {
		return say("Error reassigning partition(s):\n%s", strings.Join(failed, "\n"))
	}
	for _, p := range partitions {
		names = append(names, p.String())
	}
	what := "reassignment"
	if len(names) > 1 {
		what = "reassignments"
	}
	r.print("Successfully started partition %s for %s\n", what, strings.Join(names, ","))
	return nil
}

func (r *reassignment) verify(ctx context.Context, partitions []jsonPartition) error {
	metadata, err := r.admin.ListTopicsWithInternal(ctx, topicsIn(partitions)...)
	if err != nil {
		return err
	}
	r.print("Status of partition reassignment:\n")
	for _, p := range partitions {
		now := metadata[*p.Topic].Partitions[*p.Partition].Replicas
		if slices.Equal(now, p.Replicas) {
			r.print("Reassignment of partition %s is completed.\n", p)
			continue
		}
		r.print("There is no active reassignment of partition %s, but replica set is %s rather than %s.\n", p,
			joinNumbers(now), joinNumbers(p.Replicas))
	}
	r.print("\n")
	return r.clearThrottles(partitions)
}

// clearThrottles says what Kafka's tool says when it deletes throttles. There are none here: replicas do not move.
func (r *reassignment) clearThrottles(partitions []jsonPartition) error {
	if r.options.preserveThrottles {
		return nil
	}
	var ids []int32
	for _, p := range partitions {
		ids = append(ids, p.Replicas...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	brokers, topics := "broker", "topic"
	if len(ids) > 1 {
		brokers = "brokers"
	}
	if len(topicsIn(partitions)) > 1 {
		topics = "topics"
	}
	r.print("Clearing broker-level throttles on %s %s\nClearing topic-level throttles on %s %s\n", brokers,
		joinNumbers(ids), topics, strings.Join(topicsIn(partitions), ","))
	return nil
}
