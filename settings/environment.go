package settings

import (
	"net"
	"slices"
	"strings"
)

// notSettings are the variables of Kafka's image that start with KAFKA_ and are no settings.
var notSettings = [...]string{
	"KAFKA_VERSION", "KAFKA_HEAP_OPTS", "KAFKA_LOG4J_OPTS", "KAFKA_OPTS", "KAFKA_JMX_OPTS",
	"KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_GC_LOG_OPTS", "KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_LOG4J_LOGGERS",
	"KAFKA_TOOLS_LOG4J_LOGLEVEL", "KAFKA_JMX_HOSTNAME", "KAFKA_JMX_PORT",
	"KAFKA_CREATE_TOPICS", "KAFKA_CREATE_TOPICS_SEPARATOR", // topics, not settings
	"KAFKA_ENABLE_KRAFT", "KAFKA_KRAFT_CLUSTER_ID", "KAFKA_VOLUME_DIR", // of Bitnami's image
}

// ownSettings are the settings that Kafka does not have.
var ownSettings = [...]string{
	"clusters.max", "clusters.ports", "dev.auto.create.delay.ms", "dev.group.rebalance.heartbeat.interval.ms",
	"dev.strict.replication",
	"dev.strict.sources", "disk.reserve.bytes", "durability", "flush.interval.ms", "lab", "lab.archive.max.bytes",
	"lab.hosts", "lab.requests", "lab.token", "max.decompressed.batch.bytes", "published.port", "strict",
	"transaction.allow.older.connections",
}

// publishedPortVariable sets published.port. In Kubernetes a service that is called once sets it, too, to an address.
const (
	publishedPortVariable = "ONCE_PORT"
	serviceAddressPrefix  = "tcp://"
)

// FromEnvironment picks settings out of NAME=VALUE pairs by the rule of Kafka's image: KAFKA_ is cut off, the
// rest becomes lower case, ___ becomes -, __ becomes _ and _ becomes a dot. KAFKA_CFG_ of Bitnami's image stands for
// KAFKA_, and wins over it. Settings that Kafka does not have may begin with ONCE_ as well, which wins. ONCE_PORT is
// short for ONCE_PUBLISHED_PORT. For the host and port of older images see replaceHostNames.
func FromEnvironment(environ []string) Source {
	source := Source{Values: Values{}, From: map[string]string{}}
	for _, prefix := range []string{"KAFKA_", bitnamiPrefix, "ONCE_"} {
		for _, pair := range environ {
			variable, value, _ := strings.Cut(pair, "=")
			rest, ok := strings.CutPrefix(variable, prefix)
			if !ok || rest == "" || slices.Contains(notSettings[:], variable) ||
				prefix == "KAFKA_" && strings.HasPrefix(variable, bitnamiPrefix) {
				continue
			}
			name := nameOfVariable(rest)
			if variable == publishedPortVariable && !strings.HasPrefix(value, serviceAddressPrefix) {
				name = "published.port"
			}
			if prefix == "ONCE_" && !slices.Contains(ownSettings[:], name) {
				continue // others are for tests
			}
			source.Values[name], source.From[name] = value, variable
		}
	}
	source.replaceHostNames()
	return source
}

const bitnamiPrefix = "KAFKA_CFG_"

// replaceHostNames turns host and port, which were settings of Kafka before 3.0 and are variables of images of that
// time, into listeners, unless these are given.
func (s Source) replaceHostNames() {
	const advertisedHost, advertisedPort, port = "advertised.host.name", "advertised.port", "port"
	host, from := strings.TrimSpace(s.Values[advertisedHost]), s.From[advertisedHost]
	inner, outer := s.Values[port], s.Values[advertisedPort]
	if inner == "" || strings.HasPrefix(inner, serviceAddressPrefix) {
		inner = "9092"
	}
	if outer == "" {
		outer = inner
	}
	for _, name := range []string{advertisedHost, advertisedPort, "host.name", port} {
		delete(s.Values, name)
		delete(s.From, name)
	}
	if host == "" {
		return
	}
	for _, l := range []struct{ name, value string }{
		{"listeners", "PLAINTEXT://:" + inner}, {advertisedListeners, "PLAINTEXT://" + net.JoinHostPort(host, outer)},
	} {
		if _, given := s.Values[l.name]; !given {
			s.Values[l.name], s.From[l.name] = l.value, from
		}
	}
}

// nameOfVariable does as the image does: all to dots, then back, the longest run first.
func nameOfVariable(rest string) string {
	name := strings.ReplaceAll(strings.ToLower(rest), "_", ".")
	name = strings.ReplaceAll(name, "...", "-")
	return strings.ReplaceAll(name, "..", "_")
}
