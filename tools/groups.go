package tools

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The types of groups as Kafka's tools print them. ListGroups has them in lower case.
const (
	classicType  = "Classic"
	consumerType = "Consumer"
	shareType    = "Share"
	streamsType  = "Streams"
)

func groupTypes() []string { return []string{classicType, consumerType, shareType, streamsType} }

// allGroupsCommand is kafka-groups.
func allGroupsCommand(e *env) *cobra.Command {
	var list, consumer, share, streams bool
	var groupType, protocol string
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.BoolVar(&list, "list", false, "list the groups")
	f.BoolVar(&consumer, "consumer", false, "only consumer groups, of the classic protocol too")
	f.BoolVar(&share, "share", false, "only share groups")
	f.BoolVar(&streams, "streams", false, "only streams groups")
	f.StringVar(&groupType, "group-type", "", "only groups of a `type`: classic, consumer, share or streams")
	f.StringVar(&protocol, "protocol", "", "only groups of a `protocol` type")
	c.RunE = func(c *cobra.Command, _ []string) error {
		known := groupTypes()
		i := slices.IndexFunc(known, func(t string) bool { return strings.EqualFold(t, groupType) })
		switch {
		case !list:
			return say("Command must include exactly one action: --list.")
		case f.Changed("group-type") && i < 0:
			return say("--group-type must be a valid group type.")
		}
		filters := []string{"consumer", "share", "group-type", "streams", "protocol"}
		if err := first(clash(f, "consumer", filters...), clash(f, "share", filters...),
			clash(f, "streams", filters...)); err != nil {
			return err
		}
		wanted := func(g kmsg.ListGroupsResponseGroup) bool {
			return (i < 0 || g.GroupType == known[i]) && (protocol == "" || g.ProtocolType == protocol) &&
				(!consumer || isConsumerGroup(g)) && (!share || g.GroupType == shareType) &&
				(!streams || g.GroupType == streamsType)
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			groups, err := listedGroups(ctx, client, nil, nil)
			if err != nil {
				return err
			}
			var rows [][]string
			for _, g := range groups {
				if wanted(g) {
					rows = append(rows, []string{g.Group, g.GroupType, g.ProtocolType})
				}
			}
			printColumns(e.stdout, []column{growing("GROUP", 20), fixed("TYPE", 20), fixed("PROTOCOL", 0)}, rows)
			return nil
		})
	}
	return c
}

// isConsumerGroup tells groups of consumers from those of Connect's workers and the like, and of other types.
func isConsumerGroup(g kmsg.ListGroupsResponseGroup) bool {
	return (g.GroupType == classicType || g.GroupType == consumerType) &&
		(g.ProtocolType == "" || g.ProtocolType == "consumer")
}

// listedGroups returns the groups of some types and states, in the order of their names; none of these mean all.
func listedGroups(ctx context.Context, client *kgo.Client, types,
	states []string) ([]kmsg.ListGroupsResponseGroup, error) {
	r := kmsg.NewPtrListGroupsRequest()
	r.StatesFilter = states
	for _, t := range types {
		r.TypesFilter = append(r.TypesFilter, strings.ToLower(t))
	}
	answer, err := r.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	if answer.ErrorCode != 0 {
		return nil, say("%s", javaError(answer.ErrorCode, nil))
	}
	for i, g := range answer.Groups {
		if of := slices.IndexFunc(groupTypes(), func(t string) bool { return strings.EqualFold(t, g.GroupType) }); of >= 0 {
			answer.Groups[i].GroupType = groupTypes()[of]
		}
	}
	slices.SortFunc(answer.Groups, func(a, b kmsg.ListGroupsResponseGroup) int {
		return strings.Compare(a.Group, b.Group)
	})
	return answer.Groups, nil
}
