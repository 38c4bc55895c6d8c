package groupcoordinator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/clock"
	"once/internal/kafkatest"
	"once/internal/script"
)

// peer holds the conversations of testdata with a broker that runs, such as Apache Kafka, over its listener. What that
// broker writes is not seen: lines about it count as they stand. Its clock is the real one: advance waits. What stands
// in a case behind a command that only a fake state log can carry out is left out, and so is a case that needs other
// settings than the broker has. All others are held with four brokers: one with group.initial.rebalance.delay.ms=0,
// one that has group.max.size=2 besides, one that has offsets.retention.minutes=1 and
// offsets.retention.check.interval.ms=1000 besides, and one with group.initial.rebalance.delay.ms=3000.
type peer struct {
	t        *testing.T
	addr     string
	settings map[string]string // of the broker
	topicIDs map[string][16]byte
	idle     []*kafkatest.Conn

	// Of a case.
	suffix    string // of group and transactional IDs
	without   bool   // the rest of the case is left out
	ids       map[string]string
	names     map[string]string
	producers map[int64]*brokerProducer
	parked    []*request

	held, left int // commands
}

type brokerProducer struct {
	transactionalID string
	id              int64
	epoch           int16
}

// request is one that was sent; done is closed when answer is there.
type request struct {
	name     string
	conn     *kafkatest.Conn
	describe func(kmsg.Response) string
	answer   kmsg.Response
	err      error
	done     chan struct{}
}

const (
	answerTimeout = time.Minute            // of requests that are not parked
	parkedAfter   = 100 * time.Millisecond // a request without an answer counts as parked, where it is expected to be
	longestWait   = 2 * time.Minute        // that advance is carried out
	tick          = 50 * time.Millisecond  // what it waits longer, so that what falls due is done
)

// brokerTopics are the topics of all scripts.
var brokerTopics = []string{"t", "u", "v"}

func newPeer(t *testing.T, addr string) *peer {
	p := &peer{t: t, addr: addr, settings: map[string]string{}, topicIDs: map[string][16]byte{}, without: true}
	t.Cleanup(func() {
		t.Logf("%d commands held with %s, %d left out", p.held, addr, p.left)
	})
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version, create.TimeoutMillis = 7, 10_000
	for _, name := range brokerTopics {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 4, 1
		create.Topics = append(create.Topics, topic)
	}
	p.ask(create)
	p.awaitCoordinators()
	for len(p.topicIDs) < len(brokerTopics) { // Kafka knows a new topic a little later
		metadata := kmsg.NewPtrMetadataRequest()
		metadata.Version = 12
		for _, name := range brokerTopics {
			metadata.Topics = append(metadata.Topics, kmsg.MetadataRequestTopic{Topic: &name})
		}
		for _, topic := range p.ask(metadata).(*kmsg.MetadataResponse).Topics {
			if topic.ErrorCode == 0 {
				p.topicIDs[*topic.Topic] = topic.TopicID
			}
		}
	}
	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.Version = 4
	describe.Resources = []kmsg.DescribeConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1",
	}}
	for _, resource := range p.ask(describe).(*kmsg.DescribeConfigsResponse).Resources {
		for _, c := range resource.Configs {
			if c.Value != nil {
				p.settings[c.Name] = *c.Value
			}
		}
	}
	return p
}

// awaitCoordinators waits until the broker has the internal topics, which Kafka makes when they are first needed, and
// has loaded the groups of every partition.
func (p *peer) awaitCoordinators() {
	for _, kind := range []int8{0, 1} {
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.Version, find.CoordinatorType, find.CoordinatorKeys = 4, kind, []string{"any"}
		for p.ask(find).(*kmsg.FindCoordinatorResponse).Coordinators[0].ErrorCode != 0 {
		}
	}
	loaded := map[int32]bool{}
	for i := 0; len(loaded) < DefaultPartitions; i++ {
		group := strconv.Itoa(i)
		if loaded[PartitionOf(group, DefaultPartitions)] {
			continue
		}
		fetch := kmsg.NewPtrOffsetFetchRequest()
		fetch.Version, fetch.Groups = 8, []kmsg.OffsetFetchRequestGroup{{Group: group}}
		for p.ask(fetch).(*kmsg.OffsetFetchResponse).Groups[0].ErrorCode != 0 {
		}
		loaded[PartitionOf(group, DefaultPartitions)] = true
	}
}

// send sends a request on a connection that is idle.
func (p *peer) send(name string, r kmsg.Request, describe func(kmsg.Response) string) *request {
	p.t.Helper()
	var conn *kafkatest.Conn
	if n := len(p.idle); n > 0 {
		conn, p.idle = p.idle[n-1], p.idle[:n-1]
	} else {
		var err error
		if conn, err = kafkatest.Dial(p.addr); err != nil {
			p.t.Fatal(err)
		}
		conn.Timeout = time.Hour
		p.t.Cleanup(func() { conn.Close() })
	}
	sent := &request{name: name, conn: conn, describe: describe, done: make(chan struct{})}
	go func() {
		sent.answer, sent.err = conn.Request(r)
		close(sent.done)
	}()
	return sent
}

// received waits for an answer, and tells whether it came.
func (p *peer) received(r *request, wait time.Duration) bool {
	p.t.Helper()
	select {
	case <-r.done:
		if r.err != nil {
			p.t.Fatal(r.name, r.err)
		}
		p.idle = append(p.idle, r.conn)
		return true
	case <-time.After(wait):
		return false
	}
}

func (p *peer) ask(r kmsg.Request) kmsg.Response {
	p.t.Helper()
	sent := p.send(kmsg.NameForKey(r.Key()), r, nil)
	if !p.received(sent, answerTimeout) {
		p.t.Fatalf("%s: no answer", sent.name)
	}
	return sent.answer
}

func (p *peer) run(t *testing.T, c script.Command) string {
	p.t = t
	if c.Name == "new" {
		p.begin(c)
	}
	p.without = p.without || !p.can(c)
	if p.without {
		for _, a := range c.Args {
			c.Has(a.Name)
		}
		p.left++
		return c.Expected
	}
	p.held++
	answer := p.do(c)
	if c.Has("kafka") {
		out := strings.Join(append(p.answered(""), answer), "\n")
		if out != c.String("kafka", "") {
			return out
		}
		p.forgetReplaced()
		return c.Expected
	}
	var lines []string
	for _, line := range strings.Split(c.Expected, "\n") {
		if strings.HasPrefix(line, "append ") || strings.HasPrefix(line, "marker ") {
			lines = append(lines, line)
		}
	}
	lines = append(lines, p.answered(c.Expected)...)
	return strings.Join(append(lines, answer), "\n")
}

// forgetReplaced forgets requests that Kafka never answers, because their member has sent another one since.
func (p *peer) forgetReplaced() {
	latest := map[string]*request{}
	for _, r := range p.parked {
		latest[r.name] = r
	}
	p.parked = slices.DeleteFunc(p.parked, func(r *request) bool { return latest[r.name] != r })
}

func (p *peer) begin(c script.Command) {
	p.suffix = "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	p.ids, p.names, p.producers, p.parked = map[string]string{}, map[string]string{}, map[int64]*brokerProducer{}, nil
	delay, _ := strconv.ParseInt(p.settings["group.initial.rebalance.delay.ms"], 10, 64)
	size, _ := strconv.ParseInt(p.settings["group.max.size"], 10, 64)
	retention, _ := strconv.ParseInt(p.settings["offsets.retention.minutes"], 10, 64)
	p.without = c.Duration(p.t, "initial-rebalance-delay", 0).Milliseconds() != delay ||
		c.Int(p.t, "max-size", 1<<31-1) != size ||
		c.Duration(p.t, "offsets-retention", DefaultOffsetsRetention) != time.Duration(retention)*time.Minute ||
		c.Has("checks")
}

// can tells whether a command can be carried out with this broker.
func (p *peer) can(c script.Command) bool {
	if c.Has("crash") || c.Has("topic-id") {
		return false
	}
	switch c.Name {
	case "restart", "reload", "offline", "online", "load", "fail", "delete-topic":
		return false
	case "topic", "consumer", "describe-consumers": // broker/testdata has conversations with consumer groups for Kafka
		return false
	case "advance":
		return c.Advance(p.t) <= longestWait
	case "expire-offsets":
		return p.checkInterval() < 5*time.Second
	case "txn-commit": // before version 6 it has another code for an unknown group
		return p.maxVersion(kmsg.TxnOffsetCommit) >= 6
	}
	return true
}

func (p *peer) maxVersion(key kmsg.Key) int16 {
	r := kmsg.NewPtrApiVersionsRequest()
	for _, k := range p.ask(r).(*kmsg.ApiVersionsResponse).ApiKeys {
		if k.ApiKey == int16(key) {
			return k.MaxVersion
		}
	}
	return -1
}

func (p *peer) checkInterval() time.Duration {
	ms, _ := strconv.ParseInt(p.settings["offsets.retention.check.interval.ms"], 10, 64)
	return time.Duration(ms) * time.Millisecond
}

// answered are the answers of parked requests that have come. Those that are expected are waited for.
func (p *peer) answered(expected string) (lines []string) {
	var waiting []*request
	for _, r := range p.parked {
		wait := time.Millisecond
		if _, rest, found := strings.Cut("\n"+expected, "\n"+r.name+": "); found {
			wait, expected = answerTimeout, rest
		}
		if p.received(r, wait) {
			lines = append(lines, r.name+": "+r.describe(r.answer))
		} else {
			waiting = append(waiting, r)
		}
	}
	p.parked = waiting
	return lines
}

// await returns the answer, or parks the request.
func (p *peer) await(c script.Command, name string, r kmsg.Request, describe func(kmsg.Response) string) string {
	wait := answerTimeout
	if strings.HasSuffix(c.Expected, "parked") {
		wait = parkedAfter
	}
	sent := p.send(name, r, describe)
	if p.received(sent, wait) {
		return describe(sent.answer)
	}
	p.parked = append(p.parked, sent)
	return "parked"
}

// elapse lets time go by: the clock of a broker that runs cannot be moved, and nothing tells that it has done nothing
// yet.
func elapse(d time.Duration) {
	over := make(chan struct{})
	clock.Real{}.AfterFunc(d+tick, func() { close(over) })
	<-over
}

func (p *peer) do(c script.Command) string {
	switch c.Name {
	case "new":
		return "ok"
	case "advance":
		elapse(c.Advance(p.t))
		return "ok"
	case "expire-offsets":
		elapse(2 * p.checkInterval())
		return "ok"
	case "join":
		return p.join(c)
	case "sync":
		return p.sync(c)
	case "heartbeat":
		return p.heartbeat(c)
	case "leave":
		return p.leave(c)
	case "stable":
		return p.stable(c)
	case "describe-group":
		return p.describeGroup(c)
	case "list-groups":
		return p.listGroups()
	}
	return p.doOffsets(c)
}

func (p *peer) heartbeat(c script.Command) string {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.Generation = 4, p.group(c), int32(c.Int(p.t, "generation", 1))
	r.MemberID, r.InstanceID = p.id(c.String("member", "")), instance(c)
	return codeName(p.ask(r).(*kmsg.HeartbeatResponse).ErrorCode)
}

func (p *peer) group(c script.Command) string {
	if g := groupID(c); g != "" {
		return g + p.suffix
	}
	return ""
}

func (p *peer) id(name string) string {
	if id, ok := p.ids[name]; ok {
		return id
	}
	return name
}

func (p *peer) named(name, id string) { p.ids[name], p.names[id] = id, name }

func (p *peer) nameAt(id string, instanceID *string) string {
	name, ok := p.names[id]
	if !ok {
		name = id
	}
	if instanceID == nil {
		return name
	}
	return name + "@" + *instanceID
}

func (p *peer) join(c script.Command) string {
	name := c.String("member", "")
	r := kmsg.NewPtrJoinGroupRequest()
	r.Group, r.InstanceID, r.MemberID = p.group(c), instance(c), p.ids[name]
	if c.Has("stranger") {
		r.MemberID = name
	}
	version := int64(5)
	if r.InstanceID == nil && r.MemberID == "" {
		version = 3 // which is not sent back for its ID
	}
	r.Version = int16(c.Int(p.t, "version", version))
	r.SessionTimeoutMillis = int32(c.Duration(p.t, "session-timeout", session).Milliseconds())
	r.RebalanceTimeoutMillis = int32(c.Duration(p.t, "rebalance-timeout", time.Minute).Milliseconds())
	r.ProtocolType = c.String("type", consumerProtocolType)
	for _, each := range protocols(c) {
		protocol := kmsg.NewJoinGroupRequestProtocol()
		protocol.Name, protocol.Metadata = each.Name, each.Metadata
		r.Protocols = append(r.Protocols, protocol)
	}
	answer := p.await(c, name+" join", r, func(resp kmsg.Response) string {
		return p.joined(name, resp.(*kmsg.JoinGroupResponse))
	})
	if answer == "parked" && r.MemberID == "" {
		p.learn(c, name)
	}
	return answer
}

// learn finds the ID that a parked member has been given: the one that no other has.
func (p *peer) learn(c script.Command, name string) {
	for _, m := range p.describe(c).Members {
		if _, known := p.names[m.MemberID]; !known {
			p.named(name, m.MemberID)
		}
	}
}

func (p *peer) joined(name string, r *kmsg.JoinGroupResponse) string {
	if code := codeName(r.ErrorCode); code != "ok" {
		if code == "MEMBER_ID_REQUIRED" {
			p.named(name, r.MemberID)
		}
		return code
	}
	p.named(name, r.MemberID)
	out := fmt.Sprintf("generation=%d protocol=%s leader=%s", r.Generation, *r.Protocol, p.nameAt(r.LeaderID, nil))
	var members []string
	for _, m := range r.Members {
		members = append(members, p.nameAt(m.MemberID, m.InstanceID)+":"+decodeSubscription(m.ProtocolMetadata))
	}
	if slices.Sort(members); members != nil { // Kafka's have no order
		out += fmt.Sprintf(" members=%v", members)
	}
	if r.SkipAssignment {
		out += " skip_assignment=true"
	}
	return out
}

func (p *peer) sync(c script.Command) string {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.Generation = 4, p.group(c), int32(c.Int(p.t, "generation", 1))
	r.MemberID, r.InstanceID = p.id(c.String("member", "")), instance(c)
	r.ProtocolType, r.Protocol = optional(c, "type"), optional(c, "protocol")
	if r.Protocol != nil {
		r.Version = 5
	}
	for _, each := range c.List("assign") {
		name, assignment, _ := strings.Cut(each, ":")
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = p.id(name), []byte(assignment)
		r.GroupAssignment = append(r.GroupAssignment, a)
	}
	return p.await(c, c.String("member", "")+" sync", r, func(resp kmsg.Response) string {
		answer := resp.(*kmsg.SyncGroupResponse)
		if answer.ErrorCode != 0 {
			return codeName(answer.ErrorCode)
		}
		return fmt.Sprintf("assignment=%q", answer.MemberAssignment)
	})
}

func (p *peer) leave(c script.Command) string {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group = 5, p.group(c)
	for _, name := range c.List("members") {
		member, instanceID, static := strings.Cut(name, "@")
		m := kmsg.NewLeaveGroupRequestMember()
		if m.MemberID = p.id(member); static {
			m.InstanceID = &instanceID
		}
		r.Members = append(r.Members, m)
	}
	if !c.Has("members") {
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID, m.InstanceID = p.id(c.String("member", "")), instance(c)
		r.Members = append(r.Members, m)
	}
	answer := p.ask(r).(*kmsg.LeaveGroupResponse)
	if answer.ErrorCode != 0 || len(answer.Members) == 0 {
		return codeName(answer.ErrorCode)
	}
	if !c.Has("members") {
		return codeName(answer.Members[0].ErrorCode)
	}
	var lines []string
	for i, m := range answer.Members {
		lines = append(lines, c.List("members")[i]+": "+codeName(m.ErrorCode))
	}
	return strings.Join(lines, "\n")
}

func (p *peer) stable(c script.Command) string {
	generation := ""
	for _, each := range stableCommands(c) {
		if answer := p.do(each); each.Name == "join" && answer != "parked" {
			generation, _, _ = strings.Cut(answer, " ")
		}
		if !strings.HasSuffix(each.Expected, "parked") { // then all others are answered
			for _, r := range p.parked {
				if p.received(r, answerTimeout) {
					r.describe(r.answer)
				}
			}
			p.parked = nil
		}
	}
	return generation
}

func (p *peer) describe(c script.Command) *kmsg.DescribeGroupsResponseGroup {
	r := kmsg.NewPtrDescribeGroupsRequest()
	r.Version, r.Groups = 6, []string{p.group(c)}
	return &p.ask(r).(*kmsg.DescribeGroupsResponse).Groups[0]
}

func (p *peer) describeGroup(c script.Command) string {
	d := p.describe(c)
	if d.ErrorCode != 0 {
		return codeName(d.ErrorCode)
	}
	lines := []string{fmt.Sprintf("%s type=%s protocol=%s", d.State, d.ProtocolType, d.Protocol)}
	for _, m := range d.Members {
		line := p.nameAt(m.MemberID, m.InstanceID)
		if d.State == Stable.String() {
			line += " metadata=" + decodeSubscription(m.ProtocolMetadata)
		}
		lines = append(lines, line+fmt.Sprintf(" assignment=%q", m.MemberAssignment))
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

func (p *peer) listGroups() string {
	r := kmsg.NewPtrListGroupsRequest()
	r.Version = 5
	var lines []string
	for _, g := range p.ask(r).(*kmsg.ListGroupsResponse).Groups {
		if name, ok := strings.CutSuffix(g.Group, p.suffix); ok {
			lines = append(lines, fmt.Sprintf("%s %s type=%s", name, g.GroupState, g.ProtocolType))
		}
	}
	slices.Sort(lines)
	return strings.Join(append([]string{fmt.Sprintf("%d found", len(lines))}, lines...), "\n")
}

// codeNames are the codes that groups are answered with.
var codeNames = map[int16]string{
	-1: "UNKNOWN_SERVER_ERROR",
	0:  "ok",
	12: "OFFSET_METADATA_TOO_LARGE",
	14: "COORDINATOR_LOAD_IN_PROGRESS",
	15: "COORDINATOR_NOT_AVAILABLE",
	16: "NOT_COORDINATOR",
	22: "ILLEGAL_GENERATION",
	23: "INCONSISTENT_GROUP_PROTOCOL",
	24: "INVALID_GROUP_ID",
	25: "UNKNOWN_MEMBER_ID",
	26: "INVALID_SESSION_TIMEOUT",
	27: "REBALANCE_IN_PROGRESS",
	51: "CONCURRENT_TRANSACTIONS",
	68: "NON_EMPTY_GROUP",
	69: "GROUP_ID_NOT_FOUND",
	79: "MEMBER_ID_REQUIRED",
	81: "GROUP_MAX_SIZE_REACHED",
	82: "FENCED_INSTANCE_ID",
	86: "GROUP_SUBSCRIBED_TO_TOPIC",
	88: "UNSTABLE_OFFSET_COMMIT",
}

func codeName(code int16) string {
	if name, ok := codeNames[code]; ok {
		return name
	}
	return "code " + strconv.Itoa(int(code))
}
