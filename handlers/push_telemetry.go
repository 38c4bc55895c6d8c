package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
	"once/telemetry"
	"once/wire"
)

// PushTelemetry v0 (KIP-714; spec: wire 16).
func (s *Services) pushTelemetry(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.PushTelemetryRequest)
	err := s.Telemetry.Push(&telemetry.Push{
		InstanceID: req.ClientInstanceID, SubscriptionID: req.SubscriptionID, Terminating: req.Terminating,
		Codec: batch.Codec(req.CompressionType), Metrics: req.Metrics, Client: telemetryClient(r),
	})
	if err != nil {
		return s.Fail(r, codeFor(err, r.Key, r.Version), "")
	}
	return wire.Respond(response[*kmsg.PushTelemetryResponse](r))
}

var failPushTelemetry = failAtTop(func(resp *kmsg.PushTelemetryResponse) (*int16, **string) {
	return &resp.ErrorCode, nil
})
