package handlers

import (
	"context"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/quotas"
	"once/wire"
)

// applyQuotas is the step that measures what clients do against their quotas. A client that does too much gets its
// answer at once, with the time for which it has to pause, and its next request is not looked at before (KIP-219; spec:
// wire 6, admin 17). All clients are the anonymous user while there is no authentication.
func (s *Services) applyQuotas(next handler) handler {
	return func(ctx context.Context, r *wire.Request, row *row) wire.Reply {
		if s.Quotas == nil || !s.Quotas.Active() {
			return next(ctx, r, row)
		}
		start := time.Now()
		reply := next(ctx, r, row)
		m := measured{s: s, r: r, spent: time.Since(start)}
		return m.apply(reply)
	}
}

// fetchRoom is the most bytes of records that a Fetch may ever get by the client's quota.
func (s *Services) fetchRoom(r *wire.Request) int {
	if s.Quotas == nil || !s.Quotas.Active() {
		return math.MaxInt
	}
	return int(min(s.Quotas.Room(quotas.ConsumerByteRate, anonymousPrincipal, r.ClientID), math.MaxInt32))
}

// admitFetch measures the answer to a Fetch against the client's quota. The client has to pause where that is not 0;
// the answer is to be kept back where it is not admitted.
func (s *Services) admitFetch(r *wire.Request, resp wire.Streamed) (pause time.Duration, admitted bool) {
	if s.Quotas == nil || !s.Quotas.Active() {
		return 0, true
	}
	resp.SetVersion(r.Version)
	return s.Quotas.Admit(quotas.ConsumerByteRate, anonymousPrincipal, r.ClientID, float64(resp.SizeBytes()), time.Now())
}

// measured is a request, and the time that was spent on it without waiting.
type measured struct {
	s     *Services
	r     *wire.Request
	spent time.Duration
}

// apply throttles the client when the reply has its answer, or when there is none.
func (m *measured) apply(reply wire.Reply) wire.Reply {
	switch {
	case reply.Resume != nil:
		resume := reply.Resume
		reply.Resume = func(ctx context.Context) wire.Reply { return m.apply(resume(ctx)) }
	case reply.Then != nil:
		then := reply.Then
		reply.Then = func(ctx context.Context) kmsg.Response {
			resp := then(ctx)
			if resp != nil {
				m.throttle(resp)
			}
			return resp
		}
	case !reply.Close:
		m.throttle(reply.Response)
	}
	return reply
}

// throttle adds the request to the rates of its client. resp is nil for a Produce without an answer. The longest pause
// counts.
func (m *measured) throttle(resp kmsg.Response) {
	now := time.Now()
	count := func(quota string, amount float64) time.Duration {
		return m.s.Quotas.Throttle(quota, anonymousPrincipal, m.r.ClientID, amount, now)
	}
	var pause time.Duration
	switch kmsg.Key(m.r.Key) {
	case kmsg.Produce:
		pause = count(quotas.ProducerByteRate, float64(m.r.SizeBytes))
	case kmsg.ShareFetch: // a Fetch has been measured: see admitFetch
		if answer, ok := resp.(wire.Streamed); ok {
			answer.SetVersion(m.r.Version)
			pause = count(quotas.ConsumerByteRate, float64(answer.SizeBytes()))
		}
	}
	if resp != nil && kmsg.Key(m.r.Key) != kmsg.WriteTxnMarkers { // as in Kafka, which exempts brokers
		const percent = 100
		pause = max(pause, count(quotas.RequestPercentage, m.spent.Seconds()*percent))
	}
	if pause <= 0 {
		return
	}
	pauseClient(m.r, resp, pause)
}
