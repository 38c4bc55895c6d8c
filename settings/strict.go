package settings

// Some differences to Kafka are deliberate and kind. strict=true takes them away: it changes the defaults of the
// settings below to what Kafka does, and nothing else, so that each of them can still be set alone. A new Kafka 4.4.0
// knows a topic 27 to 34 ms after the Metadata that creates it.
var strictDefaults = map[string]string{
	"dev.auto.create.delay.ms":                  "28",
	"dev.group.rebalance.heartbeat.interval.ms": "0",
	"dev.strict.replication":                    "true",
	"dev.strict.sources":                        "true",
	"group.consumer.assignment.interval.ms":     "1000",
	"group.initial.rebalance.delay.ms":          "3000",
	"group.streams.initial.rebalance.delay.ms":  "3000",
}

// defaultOf returns the value that holds when d is not set; ok is false where there is none.
func (b *Broker) defaultOf(d *Definition) (value string, ok bool) {
	if value, ok := strictDefaults[d.Name]; ok && b.layers[staticLayer]["strict"] == "true" {
		return value, true
	}
	if d.Name == "listeners" && b.listenersAreDerived() {
		return b.derivedListeners(), true
	}
	return d.Default()
}

// The settings whose sources dev.strict.sources is about.
const (
	minInsyncReplicas     = "min.insync.replicas"
	uncleanLeaderElection = "unclean.leader.election.enable"
)

// clusterDefaults are the settings that a new Kafka notes as defaults of the cluster, for its eligible leader replicas.
func (b *Broker) clusterDefaults() Values {
	if !b.bool("dev.strict.sources") {
		return nil
	}
	return Values{minInsyncReplicas: b.text(minInsyncReplicas)}
}

// ShownOnTransactionState returns what DescribeConfigs shows as set on the topic of the transaction coordinator,
// besides what is set on it: Kafka sets it, and on one node it has no effect.
func (b *Broker) ShownOnTransactionState() Values {
	if !b.bool("dev.strict.sources") {
		return nil
	}
	return Values{minInsyncReplicas: b.text("transaction.state.log.min.isr"), uncleanLeaderElection: "false"}
}

// ClusterDefaults returns what is set dynamically for every broker.
func (b *Broker) ClusterDefaults() Values { return b.layers[dynamicDefault] }
