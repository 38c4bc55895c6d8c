package broker_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/script"
)

// Members of streams groups.
func init() {
	commands["streams-heartbeat"] = streamsHeartbeat
	commands["streams-describe"] = streamsDescribe
}

// streamsHeartbeat: streams-heartbeat [group=g] member=M [epoch=E] [topology=…] [process=P] [owned=…] [standby=…]
// [instance=I] [rack=R] [timeout=MS] [endpoint=HOST:PORT] [tags=[k=v …]] [shutdown] [version=V]
//
// A topology is written as its subtopologies, separated by semicolons: the ID, then topics. A bare name is a source, >x
// a repartition sink, <x a repartition source (<x=2 with two partitions), +x a changelog (+x=2), &a&b a copartition
// group. Of a status only the number is shown, unless details says otherwise. With until=TEXT it is sent again until
// the answer has the text: Kafka's coordinator sees changed topics a moment later.
func streamsHeartbeat(p *peer, c script.Command) string {
	r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID = int16(p.int(c, "version", 1)), p.group(c), c.String("member", "")
	r.MemberEpoch, r.EndpointInformationEpoch = int32(p.int(c, "epoch", 0)), int32(p.int(c, "endpoint-epoch", 0))
	r.RebalanceTimeoutMillis = int32(p.int(c, "timeout", -1))
	process := strings.Replace(r.MemberID, "m", "p", 1)
	if r.MemberEpoch == 0 {
		r.RebalanceTimeoutMillis = int32(p.int(c, "timeout", 300_000))
		r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
		r.ProcessID = &process
	}
	if c.Has("process") {
		process = c.String("process", "")
		r.ProcessID = &process
	}
	for name, at := range map[string]**string{"instance": &r.InstanceID, "rack": &r.RackID} {
		if c.Has(name) {
			*at = kmsg.StringPtr(c.String(name, ""))
		}
	}
	if text := c.String("topology", ""); text != "" {
		r.Topology = p.streamsTopology(c, text)
	}
	if c.Has("owned") || c.Has("standby") {
		r.ActiveTasks, r.StandbyTasks = streamsTasks(c.String("owned", "")), streamsTasks(c.String("standby", ""))
		r.WarmupTasks = []kmsg.TaskIDs{}
	}
	if host, port, ok := strings.Cut(c.String("endpoint", ""), ":"); ok {
		n, _ := strconv.Atoi(port)
		r.UserEndpoint = &kmsg.StreamsGroupHeartbeatRequestUserEndpoint{Host: host, Port: uint16(n)}
	}
	for _, tag := range c.List("tags") {
		key, value, _ := strings.Cut(tag, "=")
		r.ClientTags = append(r.ClientTags, kmsg.StreamsGroupHeartbeatRequestClientTag{Key: key, Value: value})
	}
	r.ShutdownApplication = c.Has("shutdown")
	for end := time.Now().Add(time.Minute); ; {
		answer := p.streamsAnswer(p.ask(r).(*kmsg.StreamsGroupHeartbeatResponse), c.Has("details"))
		if strings.Contains(answer, c.String("until", "")) || time.Now().After(end) {
			return answer
		}
	}
}

func (p *peer) streamsAnswer(resp *kmsg.StreamsGroupHeartbeatResponse, details bool) string {
	if resp.ErrorCode != 0 {
		return code(resp.ErrorCode)
	}
	line := fmt.Sprintf("epoch=%d", resp.MemberEpoch)
	if resp.ActiveTasks != nil {
		line += " active=" + showStreamsTasks(resp.ActiveTasks)
		if len(resp.StandbyTasks) > 0 {
			line += " standby=" + showStreamsTasks(resp.StandbyTasks)
		}
	}
	lines := []string{line}
	for _, s := range resp.Status {
		lines = append(lines, fmt.Sprintf("status %d", s.StatusCode))
		if details {
			lines[len(lines)-1] += " " + strings.ReplaceAll(s.StatusDetail, p.suffix, "")
		}
	}
	for _, e := range resp.PartitionsByUserEndpoint {
		line := fmt.Sprintf("endpoint %s:%d", e.UserEndpoint.Host, e.UserEndpoint.Port)
		var parts []string
		for _, t := range e.ActivePartitions {
			slices.Sort(t.Partitions)
			parts = append(parts, fmt.Sprintf(" %s%v", p.plainName(t.Topic), t.Partitions))
		}
		slices.Sort(parts)
		lines = append(lines, line+strings.Join(parts, ""))
	}
	return strings.Join(lines, "\n")
}

// streamsDescribe: streams-describe [group=g] [version=V] [topology]
func streamsDescribe(p *peer, c script.Command) string {
	r := kmsg.NewPtrStreamsGroupDescribeRequest()
	r.Version, r.Groups = int16(p.int(c, "version", 1)), []string{p.group(c)}
	g := p.ask(r).(*kmsg.StreamsGroupDescribeResponse).Groups[0]
	if g.ErrorCode != 0 {
		return code(g.ErrorCode)
	}
	lines := []string{fmt.Sprintf("%s group-epoch=%d assignment-epoch=%d", g.State, g.Epoch, g.AssignmentEpoch)}
	if c.Has("topology") {
		for _, s := range g.Topology.Subtopologies {
			line := "subtopology " + s.SubtopologyID + " " + strings.Join(s.SourceTopics, " ")
			for _, t := range s.RepartitionSourceTopics {
				line += fmt.Sprintf(" <%s=%d", t.Topic, t.NumPartitions)
			}
			for _, t := range s.StateChangelogTopics {
				line += fmt.Sprintf(" +%s=%d", t.Topic, t.NumPartitions)
			}
			lines = append(lines, strings.ReplaceAll(line, p.suffix, ""))
		}
	}
	slices.SortFunc(g.Members, func(a, b kmsg.StreamsGroupDescribeResponseGroupMember) int {
		return strings.Compare(a.MemberID, b.MemberID)
	})
	for _, m := range g.Members {
		line := fmt.Sprintf("%s epoch=%d active=%s", m.MemberID, m.MemberEpoch, showStreamsTasks(m.Assignment.ActiveTasks))
		if len(m.Assignment.StandbyTasks) > 0 {
			line += " standby=" + showStreamsTasks(m.Assignment.StandbyTasks)
		}
		lines = append(lines, line+" target="+showStreamsTasks(m.TargetAssignment.ActiveTasks))
	}
	return strings.Join(lines, "\n")
}

func showStreamsTasks(lists []kmsg.TaskIDs) string {
	var parts []string
	for _, l := range lists {
		slices.Sort(l.Partitions)
		parts = append(parts, l.SubtopologyID+":"+strings.ReplaceAll(fmt.Sprint(l.Partitions), " ", ","))
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return "[]"
	}
	return strings.Join(parts, " ")
}

// streamsTasks reads what showStreamsTasks writes.
func streamsTasks(text string) []kmsg.TaskIDs {
	lists := []kmsg.TaskIDs{}
	for _, word := range strings.Fields(text) {
		subtopology, list, ok := strings.Cut(strings.Trim(word, "]"), ":[")
		if !ok {
			continue
		}
		l := kmsg.TaskIDs{SubtopologyID: subtopology}
		for _, p := range strings.Split(list, ",") {
			n, _ := strconv.Atoi(p)
			l.Partitions = append(l.Partitions, int32(n))
		}
		lists = append(lists, l)
	}
	return lists
}

func (p *peer) streamsTopology(c script.Command, text string) *kmsg.StreamsGroupHeartbeatRequestTopology {
	t := kmsg.NewStreamsGroupHeartbeatRequestTopology()
	t.Epoch = int32(p.int(c, "topology-epoch", 0))
	name := func(s string) string {
		if strings.HasPrefix(s, "__") {
			return s
		}
		return s + p.suffix
	}
	for _, part := range strings.Split(text, ";") {
		words := strings.Fields(part)
		s := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
		s.SubtopologyID = words[0]
		internal := func(word string) kmsg.TopicInfo {
			of, n, _ := strings.Cut(word[1:], "=")
			partitions, _ := strconv.Atoi(n)
			t := kmsg.NewTopicInfo()
			t.Topic, t.NumPartitions, t.ReplicationFactor = name(of), int32(partitions), -1
			return t
		}
		for _, w := range words[1:] {
			switch w[0] {
			case '>':
				s.RepartitionSinkTopics = append(s.RepartitionSinkTopics, name(w[1:]))
			case '<':
				s.RepartitionSourceTopics = append(s.RepartitionSourceTopics, internal(w))
			case '+':
				s.StateChangelogTopics = append(s.StateChangelogTopics, internal(w))
			case '~':
				s.SourceTopicRegex = append(s.SourceTopicRegex, w[1:])
			case '&':
				g := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopologyCopartitionGroup()
				for _, member := range strings.Split(w[1:], "&") {
					if i := slices.Index(s.SourceTopics, name(member)); i >= 0 {
						g.SourceTopics = append(g.SourceTopics, int16(i))
					}
					for i := range s.RepartitionSourceTopics {
						if s.RepartitionSourceTopics[i].Topic == name(member) {
							g.RepartitionSourceTopics = append(g.RepartitionSourceTopics, int16(i))
						}
					}
				}
				s.CopartitionGroups = append(s.CopartitionGroups, g)
			default:
				s.SourceTopics = append(s.SourceTopics, name(w))
			}
		}
		t.Subtopologies = append(t.Subtopologies, s)
	}
	return &t
}
