package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/txncoordinator"
	"once/wire"
)

// singleConnectionClients are the clients that keep a single connection to the coordinator of a transactional ID. They
// open a new one only when they have closed or lost the last one, and send again over it what was not answered. They
// are known by the name that they give themselves in ApiVersions (KIP-511). A name is listed when the stock client
// passes test_one_connection in compat/python/test_connections.py, as the client that is named beside it. Every other
// client may have a pool of connections, and is served as by Kafka (docs/decisions/0010-late-requests.md).
var singleConnectionClients = map[string]bool{
	"apache-kafka-java":      true, // java-3.9, java-4.3
	"confluent-kafka-go":     true, // confluent-go
	"confluent-kafka-python": true, // confluent
	"kafka-python":           true, // kafka-python
	"kgo":                    true, // franz-go
	"librdkafka":             true, // librdkafka
}

// isFromOlderConnection reports whether a request of a client before transactions V2 must not be carried out, because
// it was overtaken on a newer connection. It is no for clients that are not known to keep a single connection. The
// older connection is closed: a client that still uses it sends the request again over a new one, and a request that a
// network had held back is gone (spec: reliability P23).
func (s *Services) isFromOlderConnection(r *wire.Request, transactionalID string, by txncoordinator.Identity) bool {
	software, _ := r.Conn.ClientSoftware()
	if !singleConnectionClients[software] || s.Settings.TransactionAllowOlderConnections {
		return false
	}
	over := txncoordinator.Connection{ID: r.Conn.ID(), Software: software, ClientID: r.ClientID}
	if !s.Txns.IsFromOlderConnection(transactionalID, by, over) {
		return false
	}
	s.Logger.Warn("a request of an older connection of a transactional producer was not carried out, and the connection "+
		"is closed; transaction.allow.older.connections=true lets them through",
		"api", kmsg.NameForKey(r.Key), "transactional_id", transactionalID, "producer_id", by.ProducerID,
		"producer_epoch", by.ProducerEpoch, "client", r.Conn.RemoteAddr().String(), "software", software)
	return true
}
