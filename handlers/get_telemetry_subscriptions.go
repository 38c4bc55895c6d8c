package handlers

import (
	"context"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
	"once/telemetry"
	"once/wire"
)

// acceptedCodecs are the compressions of pushed metrics, as Kafka lists them: the client takes the first that it has.
var acceptedCodecs = []int8{int8(batch.Zstd), int8(batch.LZ4), int8(batch.Gzip), int8(batch.Snappy)}

// collectsTelemetry says whether ApiVersions shows the APIs of client telemetry: while there is a subscription. Kafka
// shows them when it has a metrics reporter that takes the metrics of clients, which by default it has not.
func (s *Services) collectsTelemetry() bool { return s.Telemetry.IsConfigured() }

// GetTelemetrySubscriptions v0 (KIP-714; spec: wire 16). It is answered also where it is not listed, as by Kafka.
func (s *Services) getTelemetrySubscriptions(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.GetTelemetrySubscriptionsRequest)
	sub, err := s.Telemetry.Subscription(req.ClientInstanceID, telemetryClient(r))
	if err != nil {
		return s.Fail(r, codeFor(err, r.Key, r.Version), "")
	}
	resp := response[*kmsg.GetTelemetrySubscriptionsResponse](r)
	resp.ClientInstanceID, resp.SubscriptionID = sub.InstanceID, sub.ID
	resp.AcceptedCompressionTypes = acceptedCodecs
	resp.PushIntervalMillis = int32(sub.Interval.Milliseconds())
	resp.TelemetryMaxBytes = int32(s.Telemetry.MaxBytes())
	resp.DeltaTemporality = true
	resp.RequestedMetrics = sub.Metrics
	return wire.Respond(resp)
}

// telemetryClient returns the client of a request.
func telemetryClient(r *wire.Request) telemetry.Client {
	c := telemetry.Client{ConnectionID: r.Conn.ID(), ClientID: r.ClientID}
	c.Address, c.Port, _ = net.SplitHostPort(r.Conn.RemoteAddr().String())
	if c.SoftwareName, c.SoftwareVersion = r.Conn.ClientSoftware(); c.SoftwareName == "" {
		c.SoftwareName, c.SoftwareVersion = unknownSoftware, unknownSoftware
	}
	return c
}

// unknownSoftware is Kafka's name and version for a client that has not said them.
const unknownSoftware = "unknown"

var failGetTelemetrySubscriptions = failAtTop(func(resp *kmsg.GetTelemetrySubscriptionsResponse) (*int16, **string) {
	return &resp.ErrorCode, nil
})
