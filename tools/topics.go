package tools

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicsOptions are those of kafka-topics.
type topicsOptions struct {
	create, list, describe, alter, delete      bool
	topic                                      string
	partitions, replicas                       int
	configs                                    []string
	ifExists, ifNotExists, excludeInternal     bool
	overrides, underReplicated, unavailable    bool
	underMinISR, atMinISR                      bool
	partitionsGiven, replicasGiven, topicGiven bool
	assignment, topicID                        string
}

func topicsCommand(e *env) *cobra.Command {
	var o topicsOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.BoolVar(&o.list, "list", false, "list topics")
	f.BoolVar(&o.create, "create", false, "create a topic")
	f.BoolVar(&o.describe, "describe", false, "describe topics")
	f.BoolVar(&o.alter, "alter", false, "change the number of partitions")
	f.BoolVar(&o.delete, "delete", false, "delete topics")
	f.StringVar(&o.topic, "topic", "", "the `topic`; a regular expression, but for --create")
	f.IntVar(&o.partitions, "partitions", 0, "number of partitions")
	f.IntVar(&o.replicas, "replication-factor", 0, "replication factor")
	f.StringArrayVar(&o.configs, "config", nil, "a setting of the new topic, `NAME=VALUE`; repeatable")
	f.BoolVar(&o.ifExists, "if-exists", false, "do nothing about a topic that does not exist")
	f.BoolVar(&o.ifNotExists, "if-not-exists", false, "do nothing about a topic that exists")
	f.BoolVar(&o.excludeInternal, "exclude-internal", false, "leave out internal topics")
	f.BoolVar(&o.overrides, "topics-with-overrides", false, "describe only topics with settings of their own")
	f.BoolVar(&o.underReplicated, "under-replicated-partitions", false, "describe only under-replicated partitions")
	f.BoolVar(&o.unavailable, "unavailable-partitions", false, "describe only partitions without a leader")
	f.BoolVar(&o.underMinISR, "under-min-isr-partitions", false, "describe only partitions below min.insync.replicas")
	f.BoolVar(&o.atMinISR, "at-min-isr-partitions", false, "describe only partitions at min.insync.replicas")
	f.StringVar(&o.assignment, "replica-assignment", "",
		"brokers of each partition, `ID,ID`; with colons between those of one partition")
	f.StringVar(&o.topicID, "topic-id", "", "with --describe, the topic with this `ID`")
	ignored(f, "partition-size-limit-per-response")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.partitionsGiven, o.replicasGiven = f.Changed("partitions"), f.Changed("replication-factor")
		o.topicGiven = f.Changed("topic")
		if err := o.validate(f); err != nil {
			return err
		}
		return e.topics(c.Context(), o)
	}
	return c
}

func (o topicsOptions) validate(f *pflag.FlagSet) error {
	if given(f, "create", "list", "describe", "alter", "delete") != 1 {
		return say("Command must include exactly one action: --list, --describe, --create, --alter or --delete")
	}
	switch {
	case (o.create || o.alter || o.delete) && o.topic == "":
		return say("Missing required argument \"[topic]\"")
	case o.alter && len(o.configs) > 0:
		return say("Option combination \"[[config], [bootstrap-server]]\" can't be used with option \"[alter]\" (To alter " +
			"topic configurations, the kafka-configs tool can be used.)")
	case o.alter && !o.partitionsGiven:
		return say("Missing required argument \"[partitions]\"")
	case o.create:
		return first(clash(f, "replica-assignment", "partitions", "replication-factor"), clash(f, "if-exists", "create"))
	}
	return first(clash(f, "config", "list", "describe", "delete"), clash(f, "partitions", "list", "describe", "delete"),
		clash(f, "replication-factor", "list", "describe", "alter", "delete"),
		clash(f, "replica-assignment", "list", "describe", "delete"), clash(f, "if-exists", "list"),
		clash(f, "if-not-exists", "list", "describe", "alter", "delete"))
}

func (e *env) topics(ctx context.Context, o topicsOptions) error {
	err := e.withClient(ctx, func(ctx context.Context, client *kgo.Client) error {
		admin := kadm.NewClient(client)
		switch {
		case o.create:
			return e.createTopic(ctx, client, o)
		case o.list:
			return e.listTopics(ctx, admin, o)
		case o.describe:
			return e.describeTopics(ctx, admin, o)
		case o.alter:
			return e.alterTopics(ctx, client, o)
		}
		return e.deleteTopics(ctx, admin, o)
	})
	if err != nil && !errors.Is(err, errFailed) {
		return e.fail("Error while executing topic command : %s", reason(err, ""))
	}
	return err
}

func (e *env) createTopic(ctx context.Context, client *kgo.Client, o topicsOptions) error {
	if strings.ContainsAny(o.topic, "._") {
		e.print("WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could " +
			"collide. " +
			"To avoid issues it is best to use either, but not both.\n")
	}
	configs := map[string]*string{}
	for _, pair := range o.configs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return say("requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".")
		}
		configs[name] = &value
	}
	partitions, replicas := -1, -1
	if o.partitionsGiven {
		if partitions = o.partitions; partitions < 1 {
			return say("The partitions must be greater than 0")
		}
	}
	if o.replicasGiven {
		if replicas = o.replicas; replicas < 1 || replicas > 32767 {
			return say("The replication factor must be between 1 and 32767 inclusive")
		}
	}
	if o.assignment != "" {
		return e.createAssigned(ctx, client, o, configs)
	}
	created, err := kadm.NewClient(client).CreateTopic(ctx, int32(partitions), int16(replicas), configs, o.topic)
	return e.created(o, err, created.ErrMessage)
}

// created prints how the creation of a topic has ended.
func (e *env) created(o topicsOptions, err error, message string) error {
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists) && o.ifNotExists:
		return nil
	case err != nil:
		return e.fail("Error while executing topic command : %s", reason(err, message))
	}
	e.print("Created topic %s.\n", o.topic)
	return nil
}

// matching returns the topics that the option --topic names, in order. Kafka fails where it names none.
func matching(ctx context.Context, admin *kadm.Client, o topicsOptions) ([]kadm.TopicDetail, error) {
	metadata, err := admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, err
	}
	if o.topicID != "" && o.describe {
		return withID(metadata, o.topicID)
	}
	patterns, err := topicPatterns(o.topic)
	if err != nil {
		return nil, err
	}
	var topics []kadm.TopicDetail
	for _, t := range metadata.Sorted() {
		if t.Err == nil && !(o.excludeInternal && t.IsInternal) && patterns.match(t.Topic) {
			topics = append(topics, t)
		}
	}
	if len(topics) == 0 && o.topicGiven && !o.ifExists && !o.list {
		return nil, say("Topic '%s' does not exist as expected", o.topic)
	}
	return topics, nil
}

// withID returns the topic with an ID.
func withID(metadata kadm.TopicDetails, id string) ([]kadm.TopicDetail, error) {
	for _, t := range metadata.Sorted() {
		if topicID(t.ID) == id {
			return []kadm.TopicDetail{t}, nil
		}
	}
	return nil, say("TopicId '%s' does not exist as expected", id)
}

// topicID is an ID as Kafka's tools print it.
func topicID(id kadm.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// patterns are regular expressions that match a whole name; none match every one.
type patterns []*regexp.Regexp

// topicPatterns reads Kafka's list of topics: regular expressions with commas in between.
func topicPatterns(list string) (patterns, error) {
	if list == "" {
		return nil, nil
	}
	var p patterns
	for _, expression := range strings.Split(list, ",") {
		compiled, err := regexp.Compile("^(?:" + strings.Trim(expression, ` "'`) + ")$")
		if err != nil {
			return nil, fmt.Errorf("%s is an invalid regex", list)
		}
		p = append(p, compiled)
	}
	return p, nil
}

func (p patterns) match(name string) bool {
	return len(p) == 0 || slices.ContainsFunc(p, func(r *regexp.Regexp) bool { return r.MatchString(name) })
}

func (e *env) listTopics(ctx context.Context, admin *kadm.Client, o topicsOptions) error {
	topics, err := matching(ctx, admin, o)
	for _, t := range topics {
		e.print("%s\n", t.Topic)
	}
	return err
}

func (e *env) describeTopics(ctx context.Context, admin *kadm.Client, o topicsOptions) error {
	topics, err := matching(ctx, admin, o)
	if err != nil || len(topics) == 0 {
		return err
	}
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Topic
	}
	described, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return err
	}
	for _, t := range topics {
		configs, err := described.On(t.Topic, func(r *kadm.ResourceConfig) error { return r.Err })
		if err != nil {
			return err
		}
		e.describeTopic(t, configs, o)
	}
	return nil
}

func (e *env) describeTopic(t kadm.TopicDetail, configs kadm.ResourceConfig, o topicsOptions) {
	own, minISR := []string{}, 1
	for _, c := range configs.Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
			own = append(own, c.Key+"="+c.MaybeValue())
		}
		if c.Key == "min.insync.replicas" {
			if n, err := strconv.Atoi(c.MaybeValue()); err == nil {
				minISR = n
			}
		}
	}
	if o.overrides && len(own) == 0 {
		return
	}
	filtered := o.underReplicated || o.unavailable || o.underMinISR || o.atMinISR
	if !filtered {
		e.print("Topic: %s\tTopicId: %s\tPartitionCount: %d\tReplicationFactor: %d\tConfigs: %s\n", t.Topic,
			topicID(t.ID), len(t.Partitions), t.Partitions.NumReplicas(), strings.Join(own, ","))
	}
	if o.overrides {
		return
	}
	for _, p := range t.Partitions.Sorted() {
		shown := !filtered || o.underReplicated && len(p.ISR) < len(p.Replicas) || o.unavailable && p.Leader < 0 ||
			o.underMinISR && len(p.ISR) < minISR || o.atMinISR && len(p.ISR) == minISR
		if !shown {
			continue
		}
		leader := "none"
		if p.Leader >= 0 {
			leader = strconv.Itoa(int(p.Leader))
		}
		e.print("\tTopic: %s\tPartition: %d\tLeader: %s\tReplicas: %s\tIsr: %s\tElr: \tLastKnownElr: \n",
			t.Topic, p.Partition, leader, joinNumbers(p.Replicas), joinNumbers(p.ISR))
	}
}

func joinNumbers(numbers []int32) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(int(n))
	}
	return strings.Join(words, ",")
}

func (e *env) alterTopics(ctx context.Context, client *kgo.Client, o topicsOptions) error {
	admin := kadm.NewClient(client)
	topics, err := matching(ctx, admin, o)
	if err != nil {
		return err
	}
	for _, t := range topics {
		if o.assignment != "" {
			if err := e.addAssigned(ctx, client, t, o); err != nil {
				return err
			}
			continue
		}
		responses, err := admin.UpdatePartitions(ctx, o.partitions, t.Topic)
		if err != nil {
			return err
		}
		for _, r := range responses.Sorted() {
			if r.Err != nil {
				return e.fail("Error while executing topic command : %s", reason(r.Err, r.ErrMessage))
			}
		}
	}
	return nil
}

func (e *env) deleteTopics(ctx context.Context, admin *kadm.Client, o topicsOptions) error {
	topics, err := matching(ctx, admin, o)
	if err != nil {
		return err
	}
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Topic
	}
	responses, err := admin.DeleteTopics(ctx, names...)
	if err != nil {
		return err
	}
	for _, r := range responses.Sorted() {
		if r.Err != nil {
			return e.fail("Error while executing topic command : %s", reason(r.Err, r.ErrMessage))
		}
	}
	return nil
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
