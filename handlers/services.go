// Package handlers turns requests into calls of the domain packages and their results into responses:
// one file an API, one table of all APIs, one table of all error codes. Handlers hold no state of
// their own but the fetch sessions.
package handlers

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/configs"
	"once/credentials"
	"once/durability"
	"once/faults"
	"once/findings"
	"once/groupcoordinator"
	"once/internal/clock"
	"once/pidmanager"
	"once/quotas"
	"once/requestlog"
	"once/settings"
	"once/sharecoordinator"
	"once/sharepartition"
	"once/telemetry"
	"once/txncoordinator"
	"once/wire"
)

// Services holds the domain packages for the handlers. broker assembles it.
type Services struct {
	Topics      TopicChanges
	Catalogue   Catalogue
	Configs     *configs.Configs
	Txns        *txncoordinator.Coordinator
	Groups      *groupcoordinator.Coordinator
	Shares      *sharepartition.Manager
	ShareStates *sharecoordinator.Coordinator
	ProducerIDs *pidmanager.Manager
	// Settings are those that the broker was started with. Those in force are of Configs.
	Settings  *settings.Broker
	Features  *Features
	NodeID    int32
	ClusterID string
	// Advertised returns the address at which the client of a connection reaches this broker.
	Advertised func(*wire.Conn) (host string, port int32)
	// Disk describes the data directory.
	Disk        func() Disk
	Quotas      *quotas.Quotas // nil: none
	Credentials *credentials.Credentials
	Barrier     *durability.Barrier // what answers wait for; nil: for nothing
	// Ended is closed when waiting requests must end, because the cluster is about to end.
	Ended  <-chan struct{}
	Clock  clock.Clock // the cluster's; what waits for network or disk goes by the machine's
	Logger *slog.Logger
	// LogLevel is the level of Logger, for clients to change; nil where it is not the broker's own.
	LogLevel *slog.LevelVar
	Faults   *faults.Rules // of tests; nil: none
	// Requests remembers requests for tests; nil: nothing is remembered.
	Requests *requestlog.Log
	// Telemetry takes the metrics of clients.
	Telemetry *telemetry.Telemetry
	// Findings notices for tests what clients do wrong; nil: nothing is noticed.
	Findings *findings.Findings

	byKey         map[int16]*row
	passChain     handler
	sessions      *fetchSessions
	autoCreation  autoCreation
	streamsTopics streamsTopics
}

// Open makes the state of the handlers. It is called once, before the first request.
func (s *Services) Open() {
	table := rows()
	s.byKey = make(map[int16]*row, len(table))
	for i := range table {
		table[i].feature = gates[kmsg.Key(table[i].Key)]
		s.byKey[table[i].Key] = &table[i]
	}
	s.passChain = s.link(chain)
	s.sessions = newFetchSessions(s.Settings.MaxIncrementalFetchSessionCacheSlots, clock.Real{})
}

// respondAs responds when the answer is as durable as answers of its kind must be. If that fails there is no answer:
// the client asks again.
func (s *Services) respondAs(kind durability.Answer, resp kmsg.Response) wire.Reply {
	ticket := s.Barrier.TicketFor(kind)
	if !ticket.Pending() {
		return wire.Respond(resp)
	}
	return wire.Reply{Then: func(ctx context.Context) kmsg.Response {
		if ticket.Wait(ctx) != nil {
			return nil
		}
		return resp
	}}
}

// shareGroup returns the settings of a share group that are in force.
func (s *Services) shareGroup(groupID string) settings.ShareGroup {
	return s.Settings.ShareGroup(s.Configs.Get(configs.Group, groupID))
}

// listed returns the APIs that ApiVersions shows.
func (s *Services) listed() []wire.API {
	apis := make([]wire.API, 0, len(s.byKey))
	for _, row := range s.byKey {
		if row.listed == nil || row.listed(s) {
			apis = append(apis, row.API)
		}
	}
	return apis
}

// Disconnected ends what a connection has begun and left open.
func (s *Services) Disconnected(c *wire.Conn) {
	s.Shares.Disconnected(c.ID())
	if s.Telemetry != nil {
		s.Telemetry.Disconnected(c.ID())
	}
}
