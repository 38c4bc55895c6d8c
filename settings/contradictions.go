package settings

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// contradictions finds values that are allowed alone but not together, and fills in the topic defaults.
func (b *Broker) contradictions() []error {
	problems := slices.Concat(b.listenerProblems(), b.listenerLimitProblems(), b.groupProblems(), b.logProblems())
	topic, err := b.resolveTopic(nil)
	if err != nil {
		return append(problems, err)
	}
	b.topic = topic
	return problems
}

func (b *Broker) problem(name, format string, args ...any) error {
	return &InvalidError{Name: name, Value: b.text(name), Reason: fmt.Sprintf(format, args...)}
}

func (b *Broker) logProblems() (problems []error) {
	retention := topicValues{b, nil}.int64("retention.ms")
	if retention == 0 || retention < -1 { // a topic may say 0, a broker not
		name := "log.retention.hours"
		for _, s := range synonymsOfTopic("retention.ms") {
			if b.isExplicit(s.name) {
				name = s.name
				break
			}
		}
		problems = append(problems, b.problem(name, "must be -1 or at least 1"))
	}
	if b.int("max.connections.per.ip") == 0 && b.text("max.connections.per.ip.overrides") == "" {
		problems = append(problems, b.problem("max.connections.per.ip",
			"can be 0 only where max.connections.per.ip.overrides is set"))
	}
	if n := b.int64("queued.max.request.bytes"); n > 0 && n < b.int64("socket.request.max.bytes") {
		problems = append(problems, b.problem("queued.max.request.bytes",
			"must not be below socket.request.max.bytes, which is %d",
			b.int64("socket.request.max.bytes")))
	}
	return problems
}

// listenerProblems refuses what Kafka refuses. What only a cluster of several nodes needs may be missing: a listener
// between brokers, and an open one of the controller.
func (b *Broker) listenerProblems() (problems []error) {
	setting := "listeners"
	if b.listenersAreDerived() {
		setting = "advertised.listeners"
	}
	names := map[string]bool{}
	for _, l := range b.Listeners {
		if names[l.Name] {
			problems = append(problems, b.problem(setting, "%s stands twice", l.Name))
		} else if err := b.protocolProblem(setting, l); err != nil {
			problems = append(problems, err)
		}
		names[l.Name] = true
	}
	if len(names) == 0 {
		problems = append(problems, b.problem(setting, "must have a listener for clients"))
	}
	problems = append(problems, b.portProblems(setting)...)
	problems = append(problems, b.advertisedProblems(names)...)
	return append(problems, b.roleProblems(names)...)
}

// protocolProblem refuses a listener that is not PLAINTEXT: without TLS and SASL it would let in everybody.
func (b *Broker) protocolProblem(setting string, l Listener) error {
	switch l.Protocol {
	case plaintext:
		return nil
	case "":
		return b.problem(setting, "%s is not in listener.security.protocol.map, which is %s", l.Name,
			b.text("listener.security.protocol.map"))
	default:
		return b.problem(setting, "%s has the security protocol %s, and only PLAINTEXT is served", l.Name, l.Protocol)
	}
}

// portProblems finds two listeners on one port. One on an IPv4 address and one on an IPv6 address may share it.
func (b *Broker) portProblems(setting string) (problems []error) {
	onPort := map[int][]Listener{}
	for _, l := range slices.Concat(b.Listeners, b.ControllerListeners) {
		if l.Port == 0 {
			continue
		}
		onPort[l.Port] = append(onPort[l.Port], l)
		same := onPort[l.Port]
		if len(same) > 1 && !arePair(same) {
			problems = append(problems, b.problem(setting, "%s and %s have one port, %d", same[0].Name, l.Name, l.Port))
		}
	}
	return problems
}

// arePair says whether these are one listener on an IPv4 address and one on an IPv6 address.
func arePair(l []Listener) bool {
	return len(l) == 2 && (l[0].isIPv4() && l[1].isIPv6() || l[0].isIPv6() && l[1].isIPv4())
}

func (b *Broker) advertisedProblems(listeners map[string]bool) (problems []error) {
	const setting = "advertised.listeners"
	seen := map[string]bool{}
	for _, l := range b.advertisedListeners {
		if ip := net.ParseIP(l.Host); ip != nil && ip.IsUnspecified() {
			problems = append(problems, b.problem(setting, "must name an address that clients can reach, not %s", l.Host))
		}
		switch {
		case !listeners[l.Name]:
			problems = append(problems, b.problem(setting, "%s is not in listeners, which is %s", l.Name, b.text("listeners")))
		case seen[l.Name] && !b.listenersAreDerived(): // then it has been reported
			problems = append(problems, b.problem(setting, "%s stands twice", l.Name))
		}
		seen[l.Name] = true
	}
	return problems
}

func (b *Broker) roleProblems(listeners map[string]bool) (problems []error) {
	if roles := b.text("process.roles"); !slices.Contains(splitList(roles), "broker") {
		problems = append(problems, b.problem("process.roles",
			"must have the role broker: there is no controller to be run alone"))
	}
	if p := b.text("security.inter.broker.protocol"); p != plaintext {
		problems = append(problems, b.problem("security.inter.broker.protocol",
			"must be PLAINTEXT: no other protocol is served"))
	}
	name, set := b.explicit("inter.broker.listener.name")
	switch {
	case !set || listeners[strings.ToUpper(name)]:
	case b.isControllerListener(name):
		problems = append(problems, b.problem("inter.broker.listener.name", "must not be a listener of the controller"))
	default:
		problems = append(problems, b.problem("inter.broker.listener.name", "is not in listeners, which is %s",
			b.text("listeners")))
	}
	return problems
}

// groupBounds are broker settings that must lie between two others.
var groupBounds = [...]struct{ low, name, up string }{
	{"group.consumer.min.session.timeout.ms", "group.consumer.session.timeout.ms",
		"group.consumer.max.session.timeout.ms"},
	{"group.consumer.min.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms",
		"group.consumer.max.heartbeat.interval.ms"},
	{"group.consumer.min.assignment.interval.ms", "group.consumer.assignment.interval.ms",
		"group.consumer.max.assignment.interval.ms"},
	{"group.share.min.session.timeout.ms", "group.share.session.timeout.ms", "group.share.max.session.timeout.ms"},
	{"group.share.min.heartbeat.interval.ms", "group.share.heartbeat.interval.ms",
		"group.share.max.heartbeat.interval.ms"},
	{"group.share.min.assignment.interval.ms", "group.share.assignment.interval.ms",
		"group.share.max.assignment.interval.ms"},
	{"group.share.min.delivery.count.limit", "group.share.delivery.count.limit", "group.share.max.delivery.count.limit"},
	{"group.share.min.record.lock.duration.ms", "group.share.record.lock.duration.ms",
		"group.share.max.record.lock.duration.ms"},
	{"group.share.min.partition.max.record.locks", "group.share.partition.max.record.locks",
		"group.share.max.partition.max.record.locks"},
	{"group.streams.min.session.timeout.ms", "group.streams.session.timeout.ms", "group.streams.max.session.timeout.ms"},
	{"group.streams.min.heartbeat.interval.ms", "group.streams.heartbeat.interval.ms",
		"group.streams.max.heartbeat.interval.ms"},
	{"group.streams.min.assignment.interval.ms", "group.streams.assignment.interval.ms",
		"group.streams.max.assignment.interval.ms"},
	{"", "group.streams.num.standby.replicas", "group.streams.max.standby.replicas"},
	{"group.min.session.timeout.ms", "", "group.max.session.timeout.ms"},
}

func (b *Broker) groupProblems() (problems []error) {
	for _, r := range groupBounds {
		switch {
		case r.name == "":
			if b.int64(r.low) > b.int64(r.up) {
				problems = append(problems, b.problem(r.up, "must not be below %s, which is %d", r.low, b.int64(r.low)))
			}
			continue
		case r.low != "" && b.int64(r.name) < b.int64(r.low):
			problems = append(problems, b.problem(r.name, "must not be below %s, which is %d", r.low, b.int64(r.low)))
		}
		if b.int64(r.name) > b.int64(r.up) {
			problems = append(problems, b.problem(r.name, "must not be above %s, which is %d", r.up, b.int64(r.up)))
		}
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		session, heartbeat := "group."+kind+".session.timeout.ms", "group."+kind+".heartbeat.interval.ms"
		if b.int64(session) <= b.int64(heartbeat) {
			problems = append(problems, b.problem(session, "must be above %s, which is %d", heartbeat, b.int64(heartbeat)))
		}
	}
	protocols := splitList(b.text("group.coordinator.rebalance.protocols"))
	if !slices.ContainsFunc(protocols, func(p string) bool { return strings.EqualFold(p, "classic") }) {
		problems = append(problems, b.problem("group.coordinator.rebalance.protocols", "must include classic"))
	}
	return problems
}
