package groupcoordinator

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"once/groupcoordinator/group/grouptest"
	"once/internal/clock"
	"once/internal/script"
	"once/log/batch"
)

// TestScripts runs the conversations in testdata, in the dialect of package script.
//
// With ONCE_SCRIPT_BROKER=HOST:PORT they are held with a broker that runs, see peer.
//
// Members have the names that a script gives them: a name stands for the last member ID that was given out to a join
// of that name, and where nobody joined, for itself. A request that is parked answers so; its answer stands before that
// of the command that brings it about, behind the name and what was asked.
func TestScripts(t *testing.T) {
	broker := os.Getenv("ONCE_SCRIPT_BROKER")
	script.RunFiles(t, "testdata/*.txt", func(t *testing.T) func(*testing.T, script.Command) string {
		if broker != "" {
			return newPeer(t, broker).run
		}
		return (&conversation{}).run
	})
}

// conversation is a world and what the clients of its coordinator know and wait for.
type conversation struct {
	t       *testing.T
	w       *world
	crash   script.Crash // kinds of writes: group, offsets, tombstones, marker
	written []string     // what the command has written so far
	ids     map[string]string
	names   map[string]string // by member ID
	joining string            // the name of whoever is joining
	topics  *grouptest.Topics // that groups of the consumer protocol see
	parked  []parkedRequest
}

// parkedRequest is a request whose answer is still to come.
type parkedRequest struct {
	name   string
	answer func() (string, bool)
}

// Errors of the state log.
var (
	errFenced = errors.New("producer is fenced")
	errDisk   = errors.New("disk")
)

var codes = script.Codes{
	{errFenced, "INVALID_PRODUCER_EPOCH"},
	{ErrLoading, "COORDINATOR_LOAD_IN_PROGRESS"},
	{ErrClosed, "COORDINATOR_NOT_AVAILABLE"},
	{ErrNotCoordinator, "NOT_COORDINATOR"},
	{ErrInvalidGroupID, "INVALID_GROUP_ID"},
	{ErrSessionTimeout, "INVALID_SESSION_TIMEOUT"},
	{ErrUnknownMember, "UNKNOWN_MEMBER_ID"},
	{ErrFencedInstance, "FENCED_INSTANCE_ID"},
	{ErrIllegalGeneration, "ILLEGAL_GENERATION"},
	{ErrInconsistentProtocol, "INCONSISTENT_GROUP_PROTOCOL"},
	{ErrRebalanceInProgress, "REBALANCE_IN_PROGRESS"},
	{ErrMemberIDRequired, "MEMBER_ID_REQUIRED"},
	{ErrGroupFull, "GROUP_MAX_SIZE_REACHED"},
	{ErrGroupNotFound, "GROUP_ID_NOT_FOUND"},
	{ErrGroupNotEmpty, "NON_EMPTY_GROUP"},
	{ErrSubscribed, "GROUP_SUBSCRIBED_TO_TOPIC"},
	{ErrMetadataTooLarge, "OFFSET_METADATA_TOO_LARGE"},
	{ErrUnstableOffset, "UNSTABLE_OFFSET_COMMIT"},
	{ErrInvalidRequest, "INVALID_REQUEST"},
	{ErrFencedMemberEpoch, "FENCED_MEMBER_EPOCH"},
	{ErrStaleMemberEpoch, "STALE_MEMBER_EPOCH"},
	{ErrUnreleasedInstance, "UNRELEASED_INSTANCE_ID"},
	{ErrProtocolNotServed, "UNSUPPORTED_VERSION"},
	{ErrNotWritten, "NOT_COORDINATOR"},
	{errDisk, "KAFKA_STORAGE_ERROR"},
}

func (s *conversation) run(t *testing.T, c script.Command) string {
	s.t = t
	if c.Name == "new" {
		s.begin(c)
		return "ok"
	}
	if s.w == nil {
		t.Fatalf("%s: no world yet", c.Pos)
	}
	if point := c.String("crash", ""); point != "" {
		s.crash.At(point)
	}
	c.Has("kafka") // for peer
	s.written = nil
	answer := s.do(c)
	if s.crash.Dead() {
		s.parked = nil
	}
	return s.crash.Reply(append(s.written, s.answered()...), answer)
}

// withoutChecks is a clock that moves without running checks. A script runs the only one there is with expire-offsets.
type withoutChecks struct {
	*clock.Movable
	checks *clock.Movable // stands still
}

// Every implements clock.Clock.
func (c withoutChecks) Every(first time.Duration, interval func() time.Duration, f func()) *clock.Check {
	return c.checks.Every(first, interval, f)
}

// begin: new [max-size=N] [initial-rebalance-delay=D] [offsets-retention=D] [consumer-max-size=N] [migration=POLICY]
// [assignment-interval=D] [rebalance-heartbeat=D] [checks]: with checks offsets expire at the
// end of every advance, else when expire-offsets says so
func (s *conversation) begin(c script.Command) {
	s.ids, s.names, s.parked = map[string]string{}, map[string]string{}, nil
	s.crash.At("")
	s.w = newWorld(s.t, func(cfg *Config) {
		cfg.Partitions = 1
		if now, ok := cfg.Clock.(*clock.Movable); ok && !c.Has("checks") {
			cfg.Clock = withoutChecks{now, clock.NewManual(now.Now())}
		}
		s.topics = &grouptest.Topics{}
		cfg.Topics = s.topics
		s.configure(cfg, c)
		next := cfg.NewMemberID
		cfg.NewMemberID = func(prefix string) string {
			id := next(prefix)
			known := id
			if prefix == "" { // a group of the consumer protocol, whose IDs have no prefix
				known = strings.TrimPrefix(id, "-")
			}
			s.ids[s.joining], s.names[known] = known, s.joining
			return id
		}
	})
	for _, l := range s.w.stateLogs {
		l.write = s.write
	}
}

func (s *conversation) configure(cfg *Config, c script.Command) {
	cfg.MaxSize = int(c.Int(s.t, "max-size", int64(cfg.MaxSize)))
	cfg.InitialRebalanceDelay = c.Duration(s.t, "initial-rebalance-delay", cfg.InitialRebalanceDelay)
	cfg.OffsetsRetention = c.Duration(s.t, "offsets-retention", cfg.OffsetsRetention)
	s.configureConsumers(cfg, c)
}

// write is how the state log writes a batch.
func (s *conversation) write(raw []byte, do func()) error {
	text, kind := s.describeBatch(raw)
	return s.crash.Write(kind, func() {
		do()
		s.written = append(s.written, text)
	})
}

// answered are the answers of parked requests that have come, in the order of the requests.
func (s *conversation) answered() (lines []string) {
	var waiting []parkedRequest
	for _, p := range s.parked {
		if answer, ok := p.answer(); ok {
			lines = append(lines, p.name+": "+answer)
		} else {
			waiting = append(waiting, p)
		}
	}
	s.parked = waiting
	return lines
}

// await returns the answer, or parks the request under a name.
func await[T any](s *conversation, name string, f *Future[T], describe func(T) string) string {
	if f.Ready() {
		return describe(now(s.t, f))
	}
	s.parked = append(s.parked, parkedRequest{name, func() (string, bool) {
		if !f.Ready() {
			return "", false
		}
		return describe(now(s.t, f)), true
	}})
	return "parked"
}

func (s *conversation) do(c script.Command) string {
	switch c.Name {
	case "join":
		return s.join(c)
	case "sync":
		return s.sync(c)
	case "heartbeat":
		return codes.OK(s.w.c.Heartbeat(&HeartbeatRequest{
			GroupID: groupID(c), MemberID: s.member(c), InstanceID: instance(c), Generation: s.generation(c, 1),
		}))
	case "leave":
		return s.leave(c)
	case "stable":
		return s.stable(c)
	case "describe-group":
		return s.describeGroup(c)
	case "list-groups":
		return s.listGroups()
	case "offset-commit":
		return s.offsetCommit(c)
	case "txn-commit":
		return s.txnCommit(c)
	case "offset-fetch":
		return s.offsetFetch(c)
	case "offset-delete":
		return s.offsetDelete(c)
	case "delete-group":
		return codes.OK(now(s.t, s.w.c.DeleteGroup(groupID(c))).Err)
	case "markers":
		return s.markers(c)
	case "topic":
		return s.topic(c)
	case "consumer":
		return s.consumer(c)
	case "describe-consumers":
		return s.describeConsumers(c)
	}
	return s.change(c)
}

// change runs the commands that change the world.
func (s *conversation) change(c script.Command) string {
	switch c.Name {
	case "advance":
		s.w.clock.Advance(c.Advance(s.t))
	case "fail": // what is not named works again
		if len(c.Args) == 0 || c.Has("nothing") && len(c.Args) > 1 {
			s.t.Fatalf("%s: what fails?", c.Pos)
		}
		for _, l := range s.w.stateLogs {
			l.fail, l.before = nil, nil
			if c.Has("appends") {
				l.fail = errDisk
			}
			if c.Has("producers") {
				l.before = func(int64, int16) error { return errFenced }
			}
		}
	case "restart":
		s.restart(c)
	case "load":
		s.load()
	case "reload": // the coordinator drops its memory and reads its log
		loaded, err := s.w.c.ReloadAll()
		return strings.TrimSpace(fmt.Sprintf("%s %d groups", codes.OK(err), loaded.Groups))
	case "offline": // the coordinator of a partition that went offline
		s.w.c.Unload(0)
	case "online":
		return codes.OK(s.w.c.Reload(0))
	case "expire-offsets":
		s.w.c.expireOffsets()
	case "delete-topic":
		return codes.OK(s.w.c.OnTopicDeleted(c.String("topic", ""), topicID(s.t, c)))
	default:
		s.t.Fatalf("%s: unknown command %s", c.Pos, c.Name)
	}
	return ""
}

// groupID: [group=g]
func groupID(c script.Command) string { return c.String("group", "g") }

// member: member=a: its member ID
func (s *conversation) member(c script.Command) string { return s.id(c.String("member", "")) }

func (s *conversation) id(name string) string {
	if id, ok := s.ids[name]; ok {
		return id
	}
	return name
}

// name is what the script calls the member with an ID.
func (s *conversation) name(id string) string {
	if name, ok := s.names[id]; ok {
		return name
	}
	return id
}

// instance: [instance=i]
func instance(c script.Command) *string { return optional(c, "instance") }

func optional(c script.Command, name string) *string {
	if !c.Has(name) {
		return nil
	}
	s := c.String(name, "")
	return &s
}

// generation: [generation=G]
func (s *conversation) generation(c script.Command, otherwise int64) int32 {
	return int32(c.Int(s.t, "generation", otherwise))
}

// topicID: [topic-id=N]
func topicID(t *testing.T, c script.Command) [16]byte { return [16]byte{byte(c.Int(t, "topic-id", 0))} }

// restart: restart [kill] [loading], and the arguments of new: a coordinator on the same state log. With kill those
// who wait get no answer; with loading it is not loaded until load.
func (s *conversation) restart(c script.Command) {
	s.configure(&s.w.cfg, c)
	if c.Has("kill") {
		s.parked = nil
	}
	s.w.c.Close()
	s.crash.At("")
	coordinator, err := New(s.w.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.w.c = coordinator
	if !c.Has("loading") {
		s.load()
	}
}

func (s *conversation) load() {
	if err := s.w.c.Load(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// join: join member=a [group=g] [instance=i] [version=3] [type=consumer] [protocols=[range:t]] [session-timeout=10s]
// [rebalance-timeout=1m] [stranger]: with the member ID that the name stands for, if any; with stranger as a member
// that the group never gave an ID
//
// A protocol is a name, topics, and the partitions that the member still has: cooperative-sticky:t+u:t-0+t-1.
func (s *conversation) join(c script.Command) string {
	s.joining = c.String("member", "")
	version := c.Int(s.t, "version", 3) // until version 3 a first join is not sent back for its ID
	r := JoinRequest{
		GroupID: groupID(c), MemberID: s.ids[s.joining], InstanceID: instance(c),
		ClientID: "client", ClientHost: "/127.0.0.1",
		SessionTimeout:   c.Duration(s.t, "session-timeout", session),
		RebalanceTimeout: c.Duration(s.t, "rebalance-timeout", time.Minute),
		ProtocolType:     c.String("type", consumerProtocolType), Protocols: protocols(c),
		MemberIDRequired: version >= 4, SkipAssignment: version >= 9,
	}
	if c.Has("stranger") {
		r.MemberID = s.joining
	}
	return await(s, s.joining+" join", s.w.c.Join(&r), s.joined)
}

func protocols(c script.Command) (all []Protocol) {
	list := c.List("protocols")
	if !c.Has("protocols") {
		list = []string{"range:t"}
	}
	for _, p := range list {
		name, metadata, _ := strings.Cut(p, ":")
		all = append(all, Protocol{Name: name, Metadata: encodeSubscription(metadata)})
	}
	return all
}

func (s *conversation) joined(r JoinResult) string {
	if r.Err != nil {
		return codes.Of(r.Err)
	}
	out := fmt.Sprintf("generation=%d protocol=%s leader=%s", r.Generation, *r.ProtocolName, s.name(r.LeaderID))
	var members []string
	for _, m := range r.Members {
		members = append(members, s.nameAt(m.MemberID, m.InstanceID)+":"+decodeSubscription(m.Metadata))
	}
	if members != nil {
		out += fmt.Sprintf(" members=%v", members)
	}
	if r.SkipAssignment {
		out += " skip_assignment=true"
	}
	return out
}

// nameAt is a member's name, with its group instance ID behind an @.
func (s *conversation) nameAt(id string, instanceID *string) string {
	if instanceID == nil {
		return s.name(id)
	}
	return s.name(id) + "@" + *instanceID
}

// stable: stable members=[a b@i …], and the arguments of join: makes a Stable group of them. The first one leads, and
// each is assigned its own name.
func (s *conversation) stable(c script.Command) string {
	generation := ""
	commands := stableCommands(c)
	for _, each := range commands {
		if answer := s.do(each); each.Name == "join" && answer != "parked" {
			generation, _, _ = strings.Cut(answer, " ")
		}
		s.answered()
	}
	s.written = nil
	return generation
}

// stableCommands are the joins and syncs that stable stands for: each member joins, and the ones before it join again.
// Of their answers they expect no more than that they are parked.
func stableCommands(c script.Command) (all []script.Command) {
	members := c.List("members")
	command := func(expected, name, member string, args ...script.Arg) {
		each := script.Command{Name: name, Pos: c.Pos, Expected: expected}
		for _, a := range c.Args {
			if a.Name != "members" && (name == "join" || a.Name == "group") {
				c.Has(a.Name)
				each.Args = append(each.Args, a)
			}
		}
		member, instanceID, static := strings.Cut(member, "@")
		each.Args = append(each.Args, script.Arg{Name: "member", Value: member})
		if static {
			each.Args = append(each.Args, script.Arg{Name: "instance", Value: instanceID})
		}
		each.Args = append(each.Args, args...)
		all = append(all, each)
	}
	parkedUnless := func(last bool) string {
		if last {
			return ""
		}
		return "parked"
	}
	for i := range members {
		command(parkedUnless(i == 0), "join", members[i])
		for j, before := range members[:i] {
			command(parkedUnless(j == i-1), "join", before)
		}
	}
	var assign []string
	for _, member := range members {
		name, _, _ := strings.Cut(member, "@")
		assign = append(assign, name+":"+name)
	}
	generation := script.Arg{Name: "generation", Value: strconv.Itoa(len(members))}
	for _, member := range members[1:] {
		command("parked", "sync", member, generation)
	}
	command("", "sync", members[0], generation, script.Arg{Name: "assign", Value: fmt.Sprint(assign)})
	return all
}

// sync: sync member=a [group=g] [instance=i] [generation=1] [type=T] [protocol=P] [assign=[a:x b:y]]
func (s *conversation) sync(c script.Command) string {
	r := SyncRequest{
		GroupID: groupID(c), MemberID: s.member(c), InstanceID: instance(c), Generation: s.generation(c, 1),
		ProtocolType: optional(c, "type"), ProtocolName: optional(c, "protocol"),
	}
	for _, a := range c.List("assign") {
		name, assignment, _ := strings.Cut(a, ":")
		r.Assignments = append(r.Assignments, Assignment{s.id(name), []byte(assignment)})
	}
	return await(s, c.String("member", "")+" sync", s.w.c.Sync(&r), func(r SyncResult) string {
		if r.Err != nil {
			return codes.Of(r.Err)
		}
		return fmt.Sprintf("assignment=%q", r.Assignment)
	})
}

// leave: leave [group=g] member=a [instance=i], or leave [group=g] members=[a b@i @j]: by member ID, by both, or by
// group instance ID alone
func (s *conversation) leave(c script.Command) string {
	r := LeaveRequest{GroupID: groupID(c)}
	names := c.List("members")
	for _, name := range names {
		member, instanceID, static := strings.Cut(name, "@")
		l := LeaveMember{MemberID: s.id(member)}
		if static {
			l.InstanceID = &instanceID
		}
		r.Members = append(r.Members, l)
	}
	if !c.Has("members") {
		r.Members = append(r.Members, LeaveMember{s.member(c), instance(c)})
	}
	result := now(s.t, s.w.c.Leave(&r))
	if result.Err != nil || !c.Has("members") {
		return codes.OK(errors.Join(append(result.Members, result.Err)...))
	}
	var lines []string
	for i, err := range result.Members {
		lines = append(lines, names[i]+": "+codes.OK(err))
	}
	return strings.Join(lines, "\n")
}

// markers: markers commit|abort producer=P [epoch=0] [group=g]: for the group's partition of __consumer_offsets
func (s *conversation) markers(c script.Command) string {
	m := batch.Marker{Type: batch.Commit, TimestampMs: 1}
	m.ProducerID, m.ProducerEpoch = c.Int(s.t, "producer", -1), int16(c.Int(s.t, "epoch", 0))
	if c.Has("abort") {
		m.Type = batch.Abort
	} else if !c.Has("commit") {
		s.t.Fatalf("%s: commit or abort", c.Pos)
	}
	return codes.OK(s.w.c.Participant(s.w.c.PartitionFor(groupID(c))).ApplyMarker(m, 2))
}

// describeGroup: describe-group [group=g]: members with what they were given last, and while the group is Stable with
// what they support
func (s *conversation) describeGroup(c script.Command) string {
	d, err := s.w.c.Describe(groupID(c))
	if err != nil {
		return codes.Of(err)
	}
	lines := []string{fmt.Sprintf("%v type=%s protocol=%s", d.State, d.ProtocolType, d.Protocol)}
	for _, m := range d.Members {
		line := s.nameAt(m.MemberID, m.InstanceID)
		if d.State == Stable {
			line += " metadata=" + decodeSubscription(m.Metadata)
		}
		lines = append(lines, line+fmt.Sprintf(" assignment=%q", m.Assignment))
	}
	return strings.Join(lines, "\n")
}

// listGroups: list-groups
func (s *conversation) listGroups() string {
	list, err := s.w.c.List()
	if err != nil {
		return codes.Of(err)
	}
	var lines []string
	for _, l := range list {
		lines = append(lines, fmt.Sprintf("%s %v type=%s", cmp.Or(l.GroupID, `""`), l.State, l.ProtocolType))
	}
	slices.Sort(lines)
	return strings.Join(append([]string{fmt.Sprintf("%d found", len(list))}, lines...), "\n")
}
