package tools

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// electionOptions are those of kafka-leader-election.
type electionOptions struct {
	kind, topic, file string
	partition         int32
	all               bool
}

// leaderElectionCommand is kafka-leader-election. With one replica there is never another leader to elect.
func leaderElectionCommand(e *env) *cobra.Command {
	var o electionOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.StringVar(&o.kind, "election-type", "", "`preferred or unclean`")
	f.StringVar(&o.topic, "topic", "", "the `topic`")
	f.Int32Var(&o.partition, "partition", 0, "the `partition` of the topic")
	f.BoolVar(&o.all, "all-topic-partitions", false, "all partitions")
	f.StringVar(&o.file, "path-to-json-file", "", "a `file` with partitions")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.validate(f); err != nil {
			return err
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			return e.electLeaders(ctx, kadm.NewClient(client), o)
		})
	}
	return c
}

func (o electionOptions) validate(f *pflag.FlagSet) error {
	var missing []string
	for _, option := range []string{"bootstrap-server", "election-type"} {
		if !f.Changed(option) {
			missing = append(missing, option)
		}
	}
	if f.Changed("topic") && !f.Changed("partition") {
		missing = append(missing, "partition")
	}
	kind := strings.ToLower(o.kind)
	switch {
	case f.Changed("election-type") && kind != "preferred" && kind != "unclean":
		return say("Cannot parse argument '%s' of option election-type", o.kind)
	case len(missing) > 0:
		return say("Missing required option(s): %s", strings.Join(missing, ", "))
	case given(f, "topic", "all-topic-partitions", "path-to-json-file") != 1:
		return say("One and only one of the following options is required: topic, all-topic-partitions, path-to-json-file")
	}
	return nil
}

// set returns the partitions that the options name; nil means all.
func (o electionOptions) set() (kadm.TopicsSet, error) {
	if o.all {
		return nil, nil
	}
	set := kadm.TopicsSet{}
	if o.topic != "" {
		set.Add(o.topic, o.partition)
		return set, nil
	}
	file, err := readJSON(o.file)
	if err != nil {
		return nil, err
	}
	partitions, err := file.partitions()
	if err != nil {
		return nil, err
	}
	if twice := duplicates(partitions); len(twice) > 0 {
		return nil, say("Replica election data contains duplicate partitions: %s", listed(twice))
	}
	for _, p := range partitions {
		set.Add(*p.Topic, *p.Partition)
	}
	return set, nil
}

func (e *env) electLeaders(ctx context.Context, admin *kadm.Client, o electionOptions) error {
	set, err := o.set()
	if err != nil {
		return err
	}
	how := kadm.ElectPreferredReplica
	if strings.EqualFold(o.kind, "unclean") {
		how = kadm.ElectLiveReplica
	}
	answers, err := admin.ElectLeaders(ctx, how, set)
	if err != nil {
		return err
	}
	var elected, valid, failed []string
	for _, topic := range sortedKeys(answers) {
		for _, p := range sortedKeys(answers[topic]) {
			name, result := partitionName(topic, p), answers[topic][p]
			switch {
			case result.Err == nil:
				elected = append(elected, name)
			case errors.Is(result.Err, kerr.ElectionNotNeeded):
				valid = append(valid, name)
			default:
				e.print("Error completing leader election (%s) for partition: %s: %s\n", strings.ToUpper(o.kind), name,
					javaFailure(result.Err, result.ErrMessage))
				failed = append(failed, name)
			}
		}
	}
	slices.Sort(valid)
	if len(elected) > 0 {
		e.print("Successfully completed leader election (%s) for partitions %s\n", strings.ToUpper(o.kind),
			strings.Join(elected, ", "))
	}
	if len(valid) > 0 {
		e.print("Valid replica already elected for partitions %s\n", strings.Join(valid, ", "))
	}
	if len(failed) > 0 {
		return e.fail("%d replica(s) could not be elected", len(failed))
	}
	return nil
}
