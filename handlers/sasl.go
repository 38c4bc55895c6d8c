package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// SaslHandshake v0 and v1. Listeners are plain, so it is refused. The connection stays open, so that the client reports
// this answer and does not try again.
func (s *Services) saslHandshake(_ context.Context, r *wire.Request) wire.Reply {
	return s.Fail(r, wire.IllegalSASLState, "")
}

// SaslAuthenticate v0 to v2 (v2 flexible), refused likewise.
func (s *Services) saslAuthenticate(_ context.Context, r *wire.Request) wire.Reply {
	return s.Fail(r, wire.IllegalSASLState, "this listener does not authenticate: connect without SASL")
}

var failSASLHandshake = failAtTop(func(r *kmsg.SASLHandshakeResponse) (*int16, **string) { return &r.ErrorCode, nil })

var failSASLAuthenticate = failAtTop(func(r *kmsg.SASLAuthenticateResponse) (*int16, **string) {
	return &r.ErrorCode, &r.ErrorMessage
})
