package handlers

import (
	"context"

	"once/internal/apiname"
	"once/txncoordinator"
	"once/wire"
)

// singleConnectionClients are the clients that keep a single connection to the coordinator of a transactional ID. They
// open a new one only when they have closed or lost the last one, and repeat unanswered requests over it. The key is
// the client's software name in ApiVersions (KIP-511). A name is listed when the stock client passes
// test_one_connection in compat/python/test_connections.py, as the client in the comment beside it. Every other client
// may have a pool of connections, and is served as by Kafka (docs/decisions/0010-late-requests.md).
var singleConnectionClients = map[string]bool{
	"apache-kafka-java":      true, // java-3.9, java-4.3
	"confluent-kafka-go":     true, // confluent-go
	"confluent-kafka-python": true, // confluent
	"kafka-python":           true, // kafka-python
	"kgo":                    true, // franz-go
	"librdkafka":             true, // librdkafka
}

// closeOlderConnection is a step of the chain. If a newer connection has overtaken a request of a client before
// transactions V2, the step does not carry it out and closes the older connection. A client that still uses that one
// repeats the request over a new one; a request that was late in the network is dropped (spec: reliability P23). The
// row has the versions for which an API is checked.
func (s *Services) closeOlderConnection(next handler) handler {
	return func(ctx context.Context, r *wire.Request, row *row) wire.Reply {
		if r.Version < row.singleConnectionBelow && s.isFromOlderConnection(r, row) {
			return wire.Reply{Close: true}
		}
		return next(ctx, r, row)
	}
}

// isFromOlderConnection is false for clients that are not known to keep a single connection.
func (s *Services) isFromOlderConnection(r *wire.Request, row *row) bool {
	software, _ := r.Conn.ClientSoftware()
	if !singleConnectionClients[software] || s.Settings.TransactionAllowOlderConnections {
		return false
	}
	about := row.subjects(s.Catalogue, r).Transactions[0]
	transactionalID, by := about.TransactionalID, about.Producer
	over := txncoordinator.Connection{ID: r.Conn.ID(), Software: software, ClientID: r.ClientID}
	if !s.Txns.IsFromOlderConnection(transactionalID, by, over) {
		return false
	}
	s.Logger.Warn("a request of an older connection of a transactional producer was not carried out, and the connection "+
		"is closed; transaction.allow.older.connections=true lets them through",
		"api", apiname.Of(r.Key), "transactional_id", transactionalID, "producer_id", by.ProducerID,
		"producer_epoch", by.ProducerEpoch, "client", r.Conn.RemoteAddr().String(), "software", software)
	return true
}
