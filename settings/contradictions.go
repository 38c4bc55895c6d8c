package settings

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// contradictions finds values that are each allowed and not together, and fills in the topic defaults.
func (b *Broker) contradictions() []error {
	problems := slices.Concat(b.listenerProblems(), b.groupProblems(), b.logProblems())
	topic, err := b.resolveTopic(nil)
	if err != nil {
		return append(problems, err)
	}
	b.topic = topic
	return problems
}

func (b *Broker) problem(name, format string, args ...any) error {
	return &InvalidError{name, b.text(name), fmt.Sprintf(format, args...)}
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
	if n := b.int64("queued.max.request.bytes"); n > 0 && n < b.int64("socket.request.max.bytes") {
		problems = append(problems, b.problem("queued.max.request.bytes", "must not be below socket.request.max.bytes, which is %d",
			b.int64("socket.request.max.bytes")))
	}
	return problems
}

func (b *Broker) listenerProblems() (problems []error) {
	seen := map[string]bool{}
	for _, l := range b.Listeners {
		switch l.Protocol {
		case "PLAINTEXT":
		case "":
			problems = append(problems, b.problem("listeners", "%s is not in listener.security.protocol.map", l.Name))
		default: // better no listener than one that is open where it was meant to be closed
			problems = append(problems, b.problem("listeners", "%s has the security protocol %s, and only PLAINTEXT is served", l.Name, l.Protocol))
		}
		if seen[l.Name] {
			problems = append(problems, b.problem("listeners", "%s stands twice", l.Name))
		}
		seen[l.Name] = true
	}
	if len(seen) == 0 {
		problems = append(problems, b.problem("listeners", "must have a listener for clients"))
	}
	for _, l := range b.AdvertisedListeners {
		if ip := net.ParseIP(l.Host); ip != nil && ip.IsUnspecified() {
			problems = append(problems, b.problem("advertised.listeners", "must name an address that clients can reach, not %s", l.Host))
		}
		if b.isExplicit("listeners") && !seen[l.Name] {
			problems = append(problems, b.problem("advertised.listeners", "%s is not in listeners", l.Name))
		}
	}
	return problems
}

// groupBounds say that one broker setting must lie between two others. Sorted as a reader looks for them.
var groupBounds = [...]struct{ low, name, up string }{
	{"group.consumer.min.session.timeout.ms", "group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
	{"group.consumer.min.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	{"group.consumer.min.assignment.interval.ms", "group.consumer.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"},
	{"group.share.min.session.timeout.ms", "group.share.session.timeout.ms", "group.share.max.session.timeout.ms"},
	{"group.share.min.heartbeat.interval.ms", "group.share.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"},
	{"group.share.min.assignment.interval.ms", "group.share.assignment.interval.ms", "group.share.max.assignment.interval.ms"},
	{"group.share.min.delivery.count.limit", "group.share.delivery.count.limit", "group.share.max.delivery.count.limit"},
	{"group.share.min.record.lock.duration.ms", "group.share.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"},
	{"group.share.min.partition.max.record.locks", "group.share.partition.max.record.locks", "group.share.max.partition.max.record.locks"},
	{"group.streams.min.session.timeout.ms", "group.streams.session.timeout.ms", "group.streams.max.session.timeout.ms"},
	{"group.streams.min.heartbeat.interval.ms", "group.streams.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"},
	{"group.streams.min.assignment.interval.ms", "group.streams.assignment.interval.ms", "group.streams.max.assignment.interval.ms"},
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
