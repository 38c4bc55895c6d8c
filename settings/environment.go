package settings

import "strings"

// notSettings are the variables of Kafka's image that start with KAFKA_ and are no settings.
var notSettings = [...]string{
	"KAFKA_VERSION", "KAFKA_HEAP_OPTS", "KAFKA_LOG4J_OPTS", "KAFKA_OPTS", "KAFKA_JMX_OPTS",
	"KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_GC_LOG_OPTS", "KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_LOG4J_LOGGERS",
	"KAFKA_TOOLS_LOG4J_LOGLEVEL", "KAFKA_JMX_HOSTNAME", "KAFKA_JMX_PORT",
}

// FromEnvironment picks settings out of NAME=VALUE pairs by the rule of Kafka's image: KAFKA_ is cut off, the
// rest becomes lower case, ___ becomes -, __ becomes _ and _ becomes a dot.
func FromEnvironment(environ []string) Values {
	values := Values{}
next:
	for _, pair := range environ {
		variable, value, _ := strings.Cut(pair, "=")
		name, ok := strings.CutPrefix(variable, "KAFKA_")
		if !ok || name == "" {
			continue
		}
		for _, other := range notSettings {
			if variable == other {
				continue next
			}
		}
		// As the image does it: all to dots, then back, the longest run first.
		name = strings.ReplaceAll(strings.ToLower(name), "_", ".")
		name = strings.ReplaceAll(name, "...", "-")
		name = strings.ReplaceAll(name, "..", "_")
		values[name] = value
	}
	return values
}
