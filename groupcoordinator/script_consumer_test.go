package groupcoordinator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator/assignment"
	"once/groupcoordinator/consumergroup"
	"once/internal/script"
)

// configureConsumers reads the arguments of new and restart that are about groups of the consumer protocol.
func (s *conversation) configureConsumers(cfg *Config, c script.Command) {
	cfg.ConsumerGroupMaxSize = int(c.Int(s.t, "consumer-max-size", int64(cfg.ConsumerGroupMaxSize)))
	switch c.String("migration", "") {
	case "disabled":
		cfg.MigrationPolicy = MigrationPolicy{NoUpgrade: true, NoDowngrade: true}
	case "upgrade":
		cfg.MigrationPolicy = MigrationPolicy{NoDowngrade: true}
	case "downgrade":
		cfg.MigrationPolicy = MigrationPolicy{NoUpgrade: true}
	}
	settings := DefaultConsumerSettings
	settings.AssignmentInterval = c.Duration(s.t, "assignment-interval", 0)
	settings.RebalanceHeartbeatInterval = c.Duration(s.t, "rebalance-heartbeat", 0)
	cfg.ConsumerSettings = func(string) ConsumerSettings { return settings }
}

// topic: topic name=x partitions=N: makes a topic, or adds partitions
func (s *conversation) topic(c script.Command) string {
	s.topics.Set(c.String("name", "x"), int32(c.Int(s.t, "partitions", 1)))
	return "ok"
}

// consumer: consumer member=a [group=g] [epoch=E] [topics=[x …]] [regex=R] [owned=[x-0 …]] [instance=I] [timeout=D]
// [assignor=A] [interval]: a heartbeat of a member that speaks the consumer protocol. Epoch 0, the default, has a
// rebalance timeout of a minute and owns nothing.
func (s *conversation) consumer(c script.Command) string {
	r := ConsumerHeartbeatRequest{
		GroupID: groupID(c), MemberID: s.member(c), MemberEpoch: int32(c.Int(s.t, "epoch", 0)), MemberIDRequired: true,
		ClientID: "client", ClientHost: "/127.0.0.1", InstanceID: instance(c), Regex: optional(c, "regex"),
		Assignor: optional(c, "assignor"), RebalanceTimeoutMs: -1,
	}
	if r.MemberEpoch == 0 {
		timeout := c.Duration(s.t, "timeout", time.Minute)
		r.RebalanceTimeoutMs, r.Owned = int32(timeout.Milliseconds()), assignment.Set{}
	}
	if c.Has("topics") {
		r.Topics = append([]string{}, c.List("topics")...)
	}
	if c.Has("owned") {
		r.Owned = assignment.Set{}
		for _, p := range c.Partitions(s.t, "owned") {
			topic, _ := s.topics.Lookup(p.Topic)
			r.Owned.Add(topic.ID, p.Index)
		}
	}
	result := now(s.t, s.w.c.ConsumerHeartbeat(&r))
	if result.Err != nil {
		return codes.Of(result.Err)
	}
	out := fmt.Sprintf("epoch %d", result.MemberEpoch)
	if c.Has("interval") {
		out += fmt.Sprintf(" interval %v", result.HeartbeatInterval)
	}
	if result.Assignment != nil {
		out += " [" + s.partitions(result.Assignment, " ") + "]"
	}
	return out
}

// partitions are x-0 and y-1, with what is between them.
func (s *conversation) partitions(set assignment.Set, between string) string {
	var all []string
	for id, indexes := range set {
		topic, _ := s.topics.LookupID(id)
		for _, index := range indexes {
			all = append(all, fmt.Sprintf("%s-%d", topic.Name, index))
		}
	}
	slices.Sort(all)
	return strings.Join(all, between)
}

// describeConsumers: describe-consumers [group=g]
func (s *conversation) describeConsumers(c script.Command) string {
	d, err := s.w.c.DescribeConsumer(groupID(c))
	if err != nil {
		return codes.Of(err)
	}
	lines := []string{fmt.Sprintf("%s group epoch %d assignment epoch %d", d.State, d.GroupEpoch, d.AssignmentEpoch)}
	for _, m := range d.Members {
		line := fmt.Sprintf("%s epoch %d [%s] target [%s]", s.name(m.ID), m.Epoch, s.partitions(m.Current, " "),
			s.partitions(m.Target, " "))
		if m.Meta.Classic != nil {
			line += " classic"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// describeConsumerRecord: member[a], epoch=3, assigned=3, target[a]=x-0, a=3/2:STABLE:x-0 with -x-1 for what it has to
// give up, regex[r]=x; with a minus in front for tombstones.
func (s *conversation) describeConsumerRecord(r consumergroup.Record) string {
	name := s.name(r.Name())
	switch v := r.Value().(type) {
	case consumergroup.GroupValue:
		return fmt.Sprintf("epoch=%d", v.GroupEpoch)
	case consumergroup.TargetEpochValue:
		return fmt.Sprintf("assigned=%d", v.AssignmentEpoch)
	case consumergroup.MemberValue:
		return "member[" + name + "]"
	case consumergroup.TargetValue:
		return "target[" + name + "]=" + s.partitions(v.Partitions, "+")
	case consumergroup.CurrentValue:
		text := fmt.Sprintf("%s=%d/%d:%v:%s", name, v.MemberEpoch, v.PreviousMemberEpoch, v.State,
			s.partitions(v.Assigned.Set, "+"))
		if len(v.PendingRevocation.Set) > 0 {
			text += "-" + s.partitions(v.PendingRevocation.Set, "-")
		}
		return text
	case consumergroup.RegexValue:
		return fmt.Sprintf("regex[%s]=%s", r.Name(), strings.Join(v.Topics, "+"))
	}
	return strings.TrimSuffix(fmt.Sprintf("-%d:%s", r.KeyType(), name), ":")
}

// shownAssignment is the text of an assignment: as scripts have it, or t-0+t-1 when the coordinator made it.
func shownAssignment(b []byte) string {
	var a kmsg.ConsumerMemberAssignment
	if len(b) == 0 || b[0] != 0 || a.ReadFrom(b) != nil {
		return string(b)
	}
	var all []string
	for _, t := range a.Topics {
		for _, index := range t.Partitions {
			all = append(all, fmt.Sprintf("%s-%d", t.Topic, index))
		}
	}
	return strings.Join(all, "+")
}

// A coordinator that does not serve the consumer protocol says so, and its classic groups are as ever.
func TestConsumerProtocolIsNotServed(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ConsumerProtocol = func() bool { return false } })
	r := now(t, w.c.ConsumerHeartbeat(&ConsumerHeartbeatRequest{GroupID: "g", MemberID: "a", RebalanceTimeoutMs: 1}))
	isErr(t, "heartbeat", r.Err, ErrProtocolNotServed)
	_, err := w.c.DescribeConsumer("g")
	isErr(t, "describe", err, ErrProtocolNotServed)
	w.stable("g", nil)
}
