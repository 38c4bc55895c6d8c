package broker_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/script"
)

// Members of groups of the consumer protocol, whose member IDs are the names in the script. A ~ in a regular expression
// stands for the suffix of the script's names.
func init() {
	commands["consumer"] = consumerHeartbeat
	commands["describe-consumers"] = describeConsumers
}

// consumerHeartbeat: consumer [group=g] member=M [epoch=E] [topics=[x …]] [regex=R] [owned=[x-0 …]] [timeout=MS]
// [instance=I] [rack=R] [assignor=A] [version=V] [interval]: a ConsumerGroupHeartbeat; epoch 0, the default, owns
// nothing and has a rebalance timeout. What is answered: the epoch, and the assignment unless it is as before.
func consumerHeartbeat(p *peer, c script.Command) string {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID = int16(p.int(c, "version", 1)), p.group(c), c.String("member", "")
	r.MemberEpoch = int32(p.int(c, "epoch", 0))
	r.InstanceID, r.RackID, r.ServerAssignor = p.optional(c, "instance"), p.optional(c, "rack"), p.optional(c, "assignor")
	if r.SubscribedTopicRegex = p.optional(c, "regex"); r.SubscribedTopicRegex != nil {
		*r.SubscribedTopicRegex = strings.ReplaceAll(*r.SubscribedTopicRegex, "~", p.suffix)
	}
	r.RebalanceTimeoutMillis = -1
	if r.MemberEpoch == 0 {
		r.RebalanceTimeoutMillis, r.Topics = 60_000, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	r.RebalanceTimeoutMillis = int32(p.int(c, "timeout", int64(r.RebalanceTimeoutMillis)))
	if c.Has("topics") {
		r.SubscribedTopicNames = []string{}
		for _, name := range c.List("topics") {
			r.SubscribedTopicNames = append(r.SubscribedTopicNames, name+p.suffix)
		}
	}
	switch {
	case c.String("owned", "") == "unsaid":
		r.Topics = nil
	case c.Has("owned"):
		r.Topics = p.ownedTopics(c.List("owned"))
	}
	resp := p.ask(r).(*kmsg.ConsumerGroupHeartbeatResponse)
	if resp.ErrorCode != 0 {
		if resp.ErrorMessage == nil {
			return code(resp.ErrorCode) + " without a message"
		}
		return code(resp.ErrorCode)
	}
	out := fmt.Sprintf("epoch %d", resp.MemberEpoch)
	if c.Has("interval") {
		out += fmt.Sprintf(" interval %d", resp.HeartbeatIntervalMillis)
	}
	if resp.Assignment != nil {
		var all []kmsg.AssignmentTopicPartition
		for _, t := range resp.Assignment.Topics {
			all = append(all, kmsg.AssignmentTopicPartition{TopicID: t.TopicID, Partitions: t.Partitions})
		}
		out += " " + p.assigned(all)
	}
	return out
}

func (p *peer) optional(c script.Command, name string) *string {
	if !c.Has(name) {
		return nil
	}
	s := c.String(name, "")
	return &s
}

func (p *peer) ownedTopics(places []string) []kmsg.ConsumerGroupHeartbeatRequestTopic {
	owned := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, place := range places {
		name, index := p.place(place)
		t := kmsg.NewConsumerGroupHeartbeatRequestTopic()
		t.TopicID, t.Partitions = p.topicIDs[name], []int32{index}
		owned = append(owned, t)
	}
	return owned
}

// assigned are partitions as [x-0 y-1].
func (p *peer) assigned(topics []kmsg.AssignmentTopicPartition) string {
	all := []string{}
	for _, t := range topics {
		for _, index := range t.Partitions {
			all = append(all, fmt.Sprintf("%s-%d", p.nameOf("", t.TopicID), index))
		}
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

// describeConsumers: describe-consumers [group=g] [version=V]
func describeConsumers(p *peer, c script.Command) string {
	r := kmsg.NewPtrConsumerGroupDescribeRequest()
	r.Version, r.Groups = int16(p.int(c, "version", 1)), []string{p.group(c)}
	g := p.ask(r).(*kmsg.ConsumerGroupDescribeResponse).Groups[0]
	if g.ErrorCode != 0 {
		return code(g.ErrorCode)
	}
	lines := []string{fmt.Sprintf("%s group epoch %d assignment epoch %d %s", g.State, g.Epoch, g.AssignmentEpoch,
		g.AssignorName)}
	slices.SortFunc(g.Members, func(a, b kmsg.ConsumerGroupDescribeResponseGroupMember) int {
		return strings.Compare(p.memberName(a.MemberID), p.memberName(b.MemberID))
	})
	for _, m := range g.Members {
		line := fmt.Sprintf("%s epoch %d type %d %s target %s", p.memberName(m.MemberID), m.MemberEpoch, m.MemberType,
			p.assigned(m.Assignment.TopicPartitions), p.assigned(m.TargetAssignment.TopicPartitions))
		topics := []string{}
		for _, name := range m.SubscribedTopics {
			topics = append(topics, p.plainName(name))
		}
		slices.Sort(topics)
		line += fmt.Sprintf(" topics %v", topics)
		for what, s := range map[string]*string{"instance": m.InstanceID, "regex": m.SubscribedTopicRegex} {
			if s != nil && *s != "" {
				line += fmt.Sprintf(" %s %s", what, strings.ReplaceAll(*s, p.suffix, "~"))
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// memberName is what the script calls a member.
func (p *peer) memberName(id string) string {
	for name, known := range p.members {
		if known == id {
			return name
		}
	}
	return id
}
