package streamsgroup

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"once/groupcoordinator/group"
	"once/groupcoordinator/group/grouptest"
	"once/internal/script"
)

// TestScripts runs the conversations in testdata with one group, in the dialect of package script.
//
// A topology is written as its subtopologies, separated by semicolons: the ID, then topics. A bare name is a source,
// >x a repartition sink, <x a repartition source (<x=2 with two partitions), +x a changelog, &a&b a copartition group.
func TestScripts(t *testing.T) {
	script.RunFiles(t, "testdata/*.txt", func(*testing.T) func(*testing.T, script.Command) string {
		return (&conversation{}).run
	})
}

var codes = script.Codes{
	{group.ErrUnknownMember, "UNKNOWN_MEMBER_ID"},
	{group.ErrFencedInstance, "FENCED_INSTANCE_ID"},
	{group.ErrGroupFull, "GROUP_MAX_SIZE_REACHED"},
	{group.ErrInvalidRequest, "INVALID_REQUEST"},
	{group.ErrFencedMemberEpoch, "FENCED_MEMBER_EPOCH"},
	{group.ErrStaleMemberEpoch, "STALE_MEMBER_EPOCH"},
	{group.ErrUnreleasedInstance, "UNRELEASED_INSTANCE_ID"},
	{group.ErrUnsupportedCommit, "UNSUPPORTED_VERSION"},
	{ErrInvalidTopology, "STREAMS_INVALID_TOPOLOGY"},
}

// conversation is a group with its topics. log is what it has written, as bytes: a restart reads it.
type conversation struct {
	t        *testing.T
	env      *Env
	settings Settings
	topics   *grouptest.Topics
	now      time.Time
	group    *Group
	log      [][2][]byte
}

func (s *conversation) run(t *testing.T, c script.Command) string {
	s.t = t
	switch c.Name {
	case "new":
		return s.begin(c)
	case "topic": // topic NAME=PARTITIONS...: made, or with a new number of partitions; 0 deletes
		return s.setTopics(c)
	case "heartbeat":
		return s.heartbeat(c)
	case "advance":
		return s.advance(c.Advance(t))
	case "set":
		s.configure(c)
		return "ok"
	case "describe":
		return s.describe()
	case "commit":
		return s.commit(c)
	case "restart":
		s.restart()
		return "ok"
	case "topology":
		return s.showTopics(c)
	}
	t.Fatalf("%s: unknown command %s", c.Pos, c.Name)
	return ""
}

// begin: new [standby=N] [initial-delay=D] [interval=D] [tags=[…]] [max-size=N]
func (s *conversation) begin(c script.Command) string {
	s.settings = Settings{SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second, MaxSize: 1 << 30}
	s.configure(c)
	s.topics = &grouptest.Topics{}
	s.env = &Env{Topics: s.topics, Settings: func(string) Settings { return s.settings }}
	s.now = time.UnixMilli(1_000_000)
	s.group, s.log = New(s.env, "g"), nil
	return "ok"
}

func (s *conversation) configure(c script.Command) {
	s.settings.StandbyReplicas = int(c.Int(s.t, "standby", int64(s.settings.StandbyReplicas)))
	s.settings.InitialRebalanceDelay = c.Duration(s.t, "initial-delay", s.settings.InitialRebalanceDelay)
	s.settings.AssignmentInterval = c.Duration(s.t, "interval", s.settings.AssignmentInterval)
	s.settings.MaxSize = int(c.Int(s.t, "max-size", int64(s.settings.MaxSize)))
	if c.Has("tags") {
		s.settings.RackAwareTags = c.List("tags")
	}
}

func (s *conversation) setTopics(c script.Command) string {
	for _, pair := range c.List("set") {
		name, n, _ := strings.Cut(pair, "=")
		partitions, err := strconv.Atoi(n)
		if err != nil {
			s.t.Fatalf("%s: %v", c.Pos, err)
		}
		if partitions == 0 {
			s.topics.Delete(name)
			continue
		}
		s.topics.Set(name, int32(partitions))
	}
	return "ok"
}

// heartbeat: heartbeat member=m [epoch=E] [process=P] [topology=…] [owned=…] [standby=…] [instance=I] …
func (s *conversation) heartbeat(c script.Command) string {
	h := &Heartbeat{MemberID: c.String("member", ""), MemberEpoch: int32(c.Int(s.t, "epoch", 0)),
		EndpointEpoch: int32(c.Int(s.t, "endpoint-epoch", 0)), RebalanceTimeoutMs: -1, Shutdown: c.Has("shutdown"),
		KnowsClientTags: true, InstanceID: optional(c, "instance"), RackID: optional(c, "rack"),
		ProcessID: optional(c, "process")}
	if h.MemberEpoch == 0 {
		h.RebalanceTimeoutMs, h.Owned = 300_000, &Assignment{}
		if h.ProcessID == nil {
			process := strings.Replace(h.MemberID, "m", "p", 1)
			h.ProcessID = &process
		}
	}
	if c.Has("timeout") {
		h.RebalanceTimeoutMs = int32(c.Duration(s.t, "timeout", 0).Milliseconds())
	}
	if text := c.String("topology", ""); text != "" {
		topology, err := parseTopology(text, int32(c.Int(s.t, "topology-epoch", 0)))
		if err != nil {
			return codes.Of(err)
		}
		h.Topology = topology
	}
	if c.Has("owned") || c.Has("standby") {
		h.Owned = &Assignment{Active: parseTasks(c.String("owned", "[]")), Standby: parseTasks(c.String("standby", "[]"))}
	}
	if endpoint := c.String("endpoint", ""); endpoint != "" {
		host, port, _ := strings.Cut(endpoint, ":")
		n, _ := strconv.Atoi(port)
		h.Endpoint = &Endpoint{host, uint16(n)}
	}
	for _, tag := range c.List("tags") {
		key, value, _ := strings.Cut(tag, "=")
		h.ClientTags = append(h.ClientTags, Config{key, value})
	}
	if err := h.Validate(); err != nil {
		return codes.Of(err)
	}
	step, answer, err := s.group.Heartbeat(s.now, h)
	if err != nil {
		return codes.Of(err)
	}
	written := s.carryOut(step)
	return strings.Join(append(written, s.shown(answer)...), "\n")
}

func optional(c script.Command, name string) *string {
	if !c.Has(name) {
		return nil
	}
	s := c.String(name, "")
	return &s
}

func (s *conversation) shown(a *Answer) []string {
	line := fmt.Sprintf("epoch=%d", a.MemberEpoch)
	if a.Tasks != nil {
		line += " active=" + show(a.Tasks.Active)
		if len(a.Tasks.Standby) > 0 {
			line += " standby=" + show(a.Tasks.Standby)
		}
	}
	lines := []string{line}
	for _, status := range a.Status {
		lines = append(lines, fmt.Sprintf("status %d: %s", status.Code, status.Detail))
	}
	for _, e := range a.Endpoints {
		lines = append(lines, fmt.Sprintf("endpoint %s:%d active=%v standby=%v", e.Endpoint.Host, e.Endpoint.Port, e.Active,
			e.Standby))
	}
	for _, m := range a.Missing {
		lines = append(lines, fmt.Sprintf("create %s partitions=%d", m.Name, m.Partitions))
	}
	return lines
}

// carryOut does with a step what the coordinator does. What the group has become must be what its records say.
func (s *conversation) carryOut(step group.Step) (written []string) {
	if step.Next != nil {
		s.group = step.Next.(*Group)
	}
	var types []string
	for _, r := range step.Records {
		key, value := r.AppendKey(nil), []byte(nil)
		if !r.IsTombstone() {
			value = r.AppendValue(nil)
		}
		if n := len(key) + len(value); n > r.MaxBytes() {
			s.t.Errorf("record of %d bytes says that it has at most %d", n, r.MaxBytes())
		}
		decoded, err := DecodeRecord(key, value)
		if err != nil {
			s.t.Fatalf("record of key type %d: %v", r.KeyType(), err)
		}
		s.group.Apply(decoded)
		s.log = append(s.log, [2][]byte{key, value})
		name := strconv.Itoa(int(r.KeyType()))
		if r.IsTombstone() {
			name = "-" + name
		}
		types = append(types, name)
	}
	if len(types) > 0 {
		written = append(written, "wrote "+strings.Join(types, " "))
	}
	if want, got := s.replayed().Describe(), s.group.Describe(); !reflect.DeepEqual(durable(want), durable(got)) {
		s.t.Errorf("after a restart the group would be\n%s\nit is\n%s", describe(want), describe(got))
	}
	return written
}

// durable leaves out what no record holds.
func durable(d Description) Description {
	d.Topology = nil
	for i := range d.Members {
		d.Members[i].Offsets, d.Members[i].EndOffsets = nil, nil
	}
	return d
}

func (s *conversation) replayed() *Group {
	g := New(s.env, "g")
	for _, r := range s.log {
		decoded, err := DecodeRecord(r[0], r[1])
		if err != nil {
			s.t.Fatal(err)
		}
		if wrong := g.Contradiction(decoded); wrong != "" {
			s.t.Errorf("the log's next record: the group %s", wrong)
		}
		g.Apply(decoded)
	}
	return g
}

func (s *conversation) restart() {
	s.group = s.replayed()
	s.group.Resume(s.now)
}

// advance moves the clock, and lets the group act whenever it wants to.
func (s *conversation) advance(d time.Duration) string {
	var lines []string
	for end := s.now.Add(d); ; {
		wake := s.group.NextWake()
		if wake.IsZero() || wake.After(end) {
			s.now = end
			break
		}
		s.now = wake
		step := s.group.Due(wake)
		for _, id := range step.Dropped {
			lines = append(lines, "removed "+id)
		}
		lines = append(lines, s.carryOut(step)...)
	}
	return cmp.Or(strings.Join(lines, "\n"), "ok")
}

func (s *conversation) describe() string { return describe(s.group.Describe()) }

func describe(d Description) string {
	lines := []string{fmt.Sprintf("%s group-epoch=%d assignment-epoch=%d", d.State, d.GroupEpoch, d.AssignmentEpoch)}
	for _, m := range d.Members {
		line := fmt.Sprintf("%s epoch=%d previous=%d state=%d active=%s", m.ID, m.Epoch, m.PreviousEpoch, m.State,
			show(keys(m.Assigned.Active)))
		for _, role := range []struct {
			name  string
			tasks TaskSet
		}{{"standby", m.Assigned.Standby}, {"pending", keys(m.Pending.Active)}, {"pending-standby", m.Pending.Standby},
			{"target", m.Target.Active}, {"target-standby", m.Target.Standby}} {
			if len(role.tasks) > 0 {
				line += " " + role.name + "=" + show(role.tasks)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// commit: commit member=M epoch=E topic=T partition=P
func (s *conversation) commit(c script.Command) string {
	check, err := s.group.ValidateCommit(group.Committer{MemberID: c.String("member", ""),
		Epoch: int32(c.Int(s.t, "epoch", 0)), KnowsMemberEpochs: !c.Has("old"), Transactional: c.Has("transactional")})
	if err == nil && check != nil {
		err = check([16]byte{}, c.String("topic", ""), int32(c.Int(s.t, "partition", 0)))
	}
	return codes.OK(err)
}

// showTopics: topology of=…: what the topology needs of the topics that there are
func (s *conversation) showTopics(c script.Command) string {
	t, err := parseTopology(c.String("of", ""), 0)
	if err != nil {
		return codes.Of(err)
	}
	checked, err := checkTopics(t, func(topic string) (int32, bool) {
		t, ok := s.topics.Lookup(topic)
		return t.Partitions, ok
	})
	if err != nil {
		return codes.Of(err)
	}
	var lines []string
	if checked.problem != nil {
		lines = append(lines, fmt.Sprintf("status %d: %s", checked.problem.Code, checked.problem.Detail))
	}
	for _, m := range checked.missing {
		lines = append(lines, fmt.Sprintf("create %s partitions=%d", m.Name, m.Partitions))
	}
	for _, id := range slices.Sorted(maps.Keys(checked.tasks)) {
		lines = append(lines, fmt.Sprintf("tasks %s: %d", id, checked.tasks[id]))
	}
	return strings.Join(lines, "\n")
}

func parseTopology(text string, epoch int32) (*Topology, error) {
	var subtopologies []Subtopology
	for _, part := range strings.Split(text, ";") {
		words := strings.Fields(part)
		s := Subtopology{ID: words[0]}
		for _, w := range words[1:] {
			switch name := w[1:]; w[0] {
			case '>':
				s.RepartitionSinkTopics = append(s.RepartitionSinkTopics, name)
			case '<':
				name, n, _ := strings.Cut(name, "=")
				partitions, _ := strconv.Atoi(n)
				s.RepartitionSourceTopics = append(s.RepartitionSourceTopics, InternalTopic{Name: name,
					Partitions: int32(partitions)})
			case '+':
				s.ChangelogTopics = append(s.ChangelogTopics, InternalTopic{Name: name,
					Configs: []Config{{"cleanup.policy", "compact"}}})
			case '&':
				s.CopartitionGroups = append(s.CopartitionGroups, s.copartitionGroup(strings.Split(name, "&")))
			default:
				s.SourceTopics = append(s.SourceTopics, w)
			}
		}
		subtopologies = append(subtopologies, s)
	}
	return NewTopology(epoch, subtopologies)
}

func (s *Subtopology) copartitionGroup(names []string) (g CopartitionGroup) {
	for _, name := range names {
		if i := slices.Index(s.SourceTopics, name); i >= 0 {
			g.SourceTopics = append(g.SourceTopics, int16(i))
		}
		for i, r := range s.RepartitionSourceTopics {
			if r.Name == name {
				g.RepartitionSourceTopics = append(g.RepartitionSourceTopics, int16(i))
			}
		}
	}
	return g
}

// parseTasks reads what show writes.
func parseTasks(text string) TaskSet {
	set := TaskSet{}
	for _, word := range strings.Fields(text) {
		subtopology, list, ok := strings.Cut(strings.Trim(word, "]"), ":[")
		if !ok {
			continue
		}
		for _, p := range strings.Split(list, ",") {
			n, _ := strconv.Atoi(p)
			set[TaskID{subtopology, int32(n)}] = struct{}{}
		}
	}
	return set
}
