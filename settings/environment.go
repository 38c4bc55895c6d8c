package settings

import (
	"maps"
	"slices"
	"strings"
)

// notSettings are the variables of Kafka's image that start with KAFKA_ and are no settings.
var notSettings = [...]string{
	"KAFKA_VERSION", "KAFKA_HEAP_OPTS", "KAFKA_LOG4J_OPTS", "KAFKA_OPTS", "KAFKA_JMX_OPTS",
	"KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_GC_LOG_OPTS", "KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_LOG4J_LOGGERS",
	"KAFKA_TOOLS_LOG4J_LOGLEVEL", "KAFKA_JMX_HOSTNAME", "KAFKA_JMX_PORT",
}

// ownSettings are the settings that Kafka does not have.
var ownSettings = [...]string{
	"dev.auto.create.delay.ms", "dev.strict.replication", "dev.strict.sources", "disk.reserve.bytes", "durability",
	"flush.interval.ms", "max.decompressed.message.bytes", "strict", "transaction.allow.older.connections",
}

// FromEnvironment picks settings out of NAME=VALUE pairs by the rule of Kafka's image: KAFKA_ is cut off, the
// rest becomes lower case, ___ becomes -, __ becomes _ and _ becomes a dot. Settings that Kafka does not have may begin
// with ONCE_ as well, which wins.
func FromEnvironment(environ []string) Values {
	values, own := Values{}, Values{}
	for _, pair := range environ {
		variable, value, _ := strings.Cut(pair, "=")
		if rest, ok := strings.CutPrefix(variable, "ONCE_"); ok {
			if name := nameOfVariable(rest); slices.Contains(ownSettings[:], name) { // others are for tests
				own[name] = value
			}
		}
		rest, ok := strings.CutPrefix(variable, "KAFKA_")
		if ok && rest != "" && !slices.Contains(notSettings[:], variable) {
			values[nameOfVariable(rest)] = value
		}
	}
	maps.Copy(values, own)
	return values
}

// nameOfVariable does as the image does: all to dots, then back, the longest run first.
func nameOfVariable(rest string) string {
	name := strings.ReplaceAll(strings.ToLower(rest), "_", ".")
	name = strings.ReplaceAll(name, "...", "-")
	return strings.ReplaceAll(name, "..", "_")
}
