package settings

import (
	"slices"
	"strings"
)

// notSettings are the variables of Kafka's image that start with KAFKA_ and are no settings.
var notSettings = [...]string{
	"KAFKA_VERSION", "KAFKA_HEAP_OPTS", "KAFKA_LOG4J_OPTS", "KAFKA_OPTS", "KAFKA_JMX_OPTS",
	"KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_GC_LOG_OPTS", "KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_LOG4J_LOGGERS",
	"KAFKA_TOOLS_LOG4J_LOGLEVEL", "KAFKA_JMX_HOSTNAME", "KAFKA_JMX_PORT",
	"KAFKA_CREATE_TOPICS", "KAFKA_CREATE_TOPICS_SEPARATOR", // topics, not settings
}

// ownSettings are the settings that Kafka does not have.
var ownSettings = [...]string{
	"dev.auto.create.delay.ms", "dev.group.rebalance.heartbeat.interval.ms", "dev.strict.replication",
	"dev.strict.sources", "disk.reserve.bytes", "durability", "flush.interval.ms", "lab", "lab.hosts", "max.decompressed.batch.bytes", "published.port", "strict", "transaction.allow.older.connections",
}

// publishedPortVariable sets published.port. In Kubernetes a service that is called once sets it, too, to an address.
const (
	publishedPortVariable = "ONCE_PORT"
	serviceAddressPrefix  = "tcp://"
)

// FromEnvironment picks settings out of NAME=VALUE pairs by the rule of Kafka's image: KAFKA_ is cut off, the
// rest becomes lower case, ___ becomes -, __ becomes _ and _ becomes a dot. Settings that Kafka does not have may begin
// with ONCE_ as well, which wins. ONCE_PORT is short for ONCE_PUBLISHED_PORT.
func FromEnvironment(environ []string) Source {
	source := Source{Values: Values{}, From: map[string]string{}}
	for _, prefix := range []string{"KAFKA_", "ONCE_"} {
		for _, pair := range environ {
			variable, value, _ := strings.Cut(pair, "=")
			rest, ok := strings.CutPrefix(variable, prefix)
			if !ok || rest == "" || slices.Contains(notSettings[:], variable) {
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
	return source
}

// nameOfVariable does as the image does: all to dots, then back, the longest run first.
func nameOfVariable(rest string) string {
	name := strings.ReplaceAll(strings.ToLower(rest), "_", ".")
	name = strings.ReplaceAll(name, "...", "-")
	return strings.ReplaceAll(name, "..", "_")
}
