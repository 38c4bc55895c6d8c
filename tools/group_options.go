package tools

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// groupTool is one of Kafka's tools for the groups of one kind: kafka-consumer-groups, kafka-share-groups and
// kafka-streams-groups.
type groupTool struct {
	*env
	kind             string   // consumer, share or streams
	actions          string   // the options of which exactly one is given, as Kafka's message has them
	types            []string // of its groups
	states           []string // that its groups can have
	topic, allTopics string   // the names of the options for topics
	options          groupsOptions
	admin            *kadm.Client
	client           *kgo.Client
}

// groupsOptions are those of a groupTool.
type groupsOptions struct {
	list, describe, reset, delete, deleteOffsets bool
	groups, topics                               []string
	allGroups, allTopics                         bool
	members, offsets, verbose, topology          bool
	state, types                                 string
	stateGiven, typesGiven                       bool
	states, ofTypes                              []string // that state and types mean
	expression                                   string   // to be checked
	target                                       resetOptions
}

// groupActions are what a groupTool does for each of the options that name an action.
type groupActions struct {
	list                                   func(ctx context.Context) error
	describe, reset, delete, deleteOffsets func(ctx context.Context, groups []string) error
}

// command returns the command with the options that the three tools have in common.
func (g *groupTool) command(actions groupActions) *cobra.Command {
	c := &cobra.Command{}
	f := c.Flags()
	o := &g.options
	g.connection.flags(f)
	f.BoolVar(&o.list, "list", false, "list groups")
	f.BoolVar(&o.describe, "describe", false, "describe groups: offsets and lag, or --members, or --state")
	f.BoolVar(&o.reset, "reset-offsets", false, "change the offsets of a group without members")
	f.BoolVar(&o.delete, "delete", false, "delete groups")
	f.BoolVar(&o.deleteOffsets, "delete-offsets", false, "delete the offsets of a group for topics")
	f.StringArrayVar(&o.groups, "group", nil, "the `group`; repeatable")
	f.BoolVar(&o.allGroups, "all-groups", false, "all groups")
	f.StringArrayVar(&o.topics, g.topic, nil, "a topic, or `TOPIC:PARTITION,PARTITION`; repeatable")
	f.BoolVar(&o.allTopics, g.allTopics, false, "all topics that the group has offsets for")
	f.BoolVar(&o.members, "members", false, "describe members")
	f.BoolVar(&o.verbose, "verbose", false, "describe more")
	f.BoolVar(&o.offsets, "offsets", false, "describe offsets, as without it")
	f.StringVar(&o.state, "state", "", "list or describe states; with --list, only of groups in these `states`")
	f.Lookup("state").NoOptDefVal = " "
	o.target.flags(f, g.kind)
	ignored(f, "timeout")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.given(f)
		if err := g.validate(f); err != nil {
			return err
		}
		if f.Changed("validate-regex") {
			g.validateRegex(o.expression)
			return nil
		}
		return g.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			g.client, g.admin = client, kadm.NewClient(client)
			return g.failed(g.carryOut(ctx, actions))
		})
	}
	return c
}

// carryOut does what the options ask for, with the groups that they name. Validation has seen to it that they name
// exactly one action.
func (g *groupTool) carryOut(ctx context.Context, actions groupActions) error {
	o := &g.options
	if o.list {
		return actions.list(ctx)
	}
	groups, err := g.names(ctx)
	if err != nil {
		return err
	}
	switch {
	case o.describe:
		return actions.describe(ctx, groups)
	case o.reset:
		return actions.reset(ctx, groups)
	case o.deleteOffsets:
		return actions.deleteOffsets(ctx, groups)
	}
	return actions.delete(ctx, groups)
}

// given notes which options are set whose value may be left out.
func (o *groupsOptions) given(f *pflag.FlagSet) {
	o.stateGiven, o.typesGiven = f.Changed("state"), f.Changed("type")
	o.state, o.types = strings.TrimSpace(o.state), strings.TrimSpace(o.types)
	o.target.given(f)
}

// failed prints an error as Kafka's tools do. That for streams groups alone has an exit code then.
func (g *groupTool) failed(err error) error {
	if err == nil || errors.Is(err, errFailed) {
		return err
	}
	g.print("\nError: Executing %s group command failed due to %s\n", g.kind, reason(err, ""))
	if g.kind == "streams" {
		return errFailed
	}
	return nil
}

// validate returns the error for options that do not fit, in the order of Kafka's checks.
func (g *groupTool) validate(f *pflag.FlagSet) error {
	o := &g.options
	for _, option := range []string{"members", "offsets", "verbose", "type"} {
		if f.Changed(option) && !(o.describe && option != "type") && !(o.list && option == "type") {
			return say("Option(s) [%s] are unavailable given other options on the command line", option)
		}
	}
	if given(f, "list", "describe", "delete", "reset-offsets", "delete-offsets", "validate-regex") != 1 {
		return say("Command must include exactly one action: %s", g.actions)
	}
	choices := []string{"members", "offsets", "state"}
	if g.kind == "streams" {
		choices = append(choices, "topology")
	}
	hasTopics := len(o.topics) > 0 || o.allTopics
	switch {
	case !o.list && !o.reset && !f.Changed("validate-regex") && len(o.groups) == 0 && !o.allGroups:
		return g.missingGroup()
	case o.describe && given(f, choices...) > 1:
		return say("Option [describe] takes at most one of these options: [%s]", strings.Join(choices, "], ["))
	case o.describe && o.state != "":
		return say("Option [describe] does not take a value for [state]")
	case o.delete && hasTopics && g.kind == "consumer":
		return say("The consumer does not support topic-specific offset deletion from a consumer group.")
	case o.delete && hasTopics && g.kind == "share":
		return say("Option [delete] does not take the options [topic] or [all-topics].")
	case o.delete && hasTopics:
		return say("Kafka Streams does not support topic-specific offset deletion from a streams group.")
	case o.deleteOffsets && (!hasTopics || len(o.groups) == 0):
		return g.missingGroup()
	}
	if o.reset {
		if err := g.validateReset(f); err != nil {
			return err
		}
	}
	var err error
	if o.list {
		if o.ofTypes, err = chosen(o.types, "types", g.types); err != nil {
			return err
		}
		if o.states, err = chosen(o.state, "state", g.states); err != nil {
			return err
		}
	}
	return first(clash(f, "group", "all-groups", "list"), clash(f, "all-groups", "list"),
		clash(f, g.topic, "describe", "list"), clash(f, g.allTopics, "describe", "list"))
}

// missingGroup is the error for an action that needs a group, or topics of a group.
func (g *groupTool) missingGroup() error {
	switch {
	case g.options.deleteOffsets && g.kind == "consumer":
		return say("Option [delete-offsets] takes the following options: [topic], [group]")
	case g.options.deleteOffsets && g.kind == "share":
		return say("Option [delete-offsets] takes the following options: [group], [topic]")
	case g.options.deleteOffsets:
		return say("Option [delete-offsets] takes the [group] and one of these options: [all-input-topics], [input-topic]")
	case g.options.delete && g.kind == "share":
		return say("Option [delete] takes the options [group] or [all-groups].")
	}
	action := "describe"
	if g.options.delete {
		action = "delete"
	} else if g.options.reset {
		action = "reset-offsets"
	}
	return say("Option [%s] takes one of these options: [all-groups], [group]", action)
}

// names returns the groups that the options name, in order.
func (g *groupTool) names(ctx context.Context) ([]string, error) {
	if !g.options.allGroups {
		names := slices.Clone(g.options.groups)
		slices.Sort(names)
		return slices.Compact(names), nil
	}
	groups, err := listedGroups(ctx, g.client, g.types, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, group := range groups {
		if g.kind != "consumer" || isConsumerGroup(group) {
			names = append(names, group.Group)
		}
	}
	return names, nil
}

// chosen returns which of the known words a list with commas has, in any case; the names of all in the error.
func chosen(list, what string, known []string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	var words []string
	for _, word := range strings.Split(list, ",") {
		i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, strings.TrimSpace(word)) })
		if i < 0 {
			return nil, say("Invalid %s list '%s'. Valid %s are: %s", what, list, strings.TrimSuffix(what, "s")+"s",
				strings.Join(known, ", "))
		}
		words = append(words, known[i])
	}
	return words, nil
}

// coordinatorOf is how Kafka's tools print a coordinator: the address, blanks, and the ID.
func coordinatorOf(b kadm.BrokerDetail, blanks string) string {
	return fmt.Sprintf("%s:%d%s(%d)", b.Host, b.Port, blanks, b.NodeID)
}
