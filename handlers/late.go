package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/txncoordinator"
	"once/wire"
)

const allowOlderConnections = "transaction.allow.older.connections"

// isLate reports whether a request of a client before transactions V2 must not be carried out, because it was
// overtaken on a younger connection. The connection is closed: a client that lives sends the request again over
// a new one, and what a network had kept is gone (spec: reliability P23).
func (s *Services) isLate(r *wire.Request, transactionalID string, by txncoordinator.Identity) bool {
	if s.Settings.Bool(allowOlderConnections) || !s.Txns.IsLate(transactionalID, by, r.Conn.ID()) {
		return false
	}
	s.Logger.Warn("a request of an older connection of a transactional producer was not carried out, and the connection is closed; "+
		allowOlderConnections+"=true lets them through",
		"api", kmsg.NameForKey(r.Key), "transactional_id", transactionalID, "producer_id", by.ProducerID, "producer_epoch", by.ProducerEpoch, "client", r.Conn.RemoteAddr().String())
	return true
}
