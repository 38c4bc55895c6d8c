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
		began := s.beginMeasuring()
		if began.IsZero() {
			return next(ctx, r, row)
		}
		reply := next(ctx, r, row)
		m := measured{s: s, r: r, spent: spentSince(began)}
		return m.apply(reply)
	}
}

// beginMeasuring returns the present time where there are quotas, and else the zero time.
func (s *Services) beginMeasuring() (began time.Time) {
	if s.Quotas != nil && s.Quotas.Active() {
		began = time.Now()
	}
	return began
}

// spentSince is the time since beginMeasuring, 0 where there were no quotas.
func spentSince(began time.Time) time.Duration {
	if began.IsZero() {
		return 0
	}
	return time.Since(began)
}

// fetchRoom is the most bytes of records that a Fetch may ever get by the client's quota.
func (s *Services) fetchRoom(r *wire.Request) int {
	if s.Quotas == nil || !s.Quotas.Active() {
		return math.MaxInt
	}
	return int(min(s.Quotas.Room(quotas.ConsumerByteRate, anonymousPrincipal, r.ClientID), math.MaxInt32))
}

// admitFetch measures the answer to a Fetch, and the time that was spent on it without waiting, against the client's
// quotas. The client has to pause where that is not 0; the answer is to be kept back where it is not admitted, and then
// its size does not count.
func (s *Services) admitFetch(r *wire.Request, resp wire.Streamed, spent time.Duration) (pause time.Duration,
	admitted bool) {
	if s.Quotas == nil || !s.Quotas.Active() {
		return 0, true
	}
	now := time.Now()
	pause = s.Quotas.Throttle(quotas.RequestPercentage, anonymousPrincipal, r.ClientID, percentOf(spent), now)
	if pause > 0 && mayKeepBack(r.Conn) {
		return pause, false
	}
	resp.SetVersion(r.Version)
	ofBytes, admitted := s.Quotas.Admit(quotas.ConsumerByteRate, anonymousPrincipal, r.ClientID,
		float64(resp.SizeBytes()), now)
	return max(pause, ofBytes), admitted
}

// mayKeepBack says whether the answer to a Fetch may be kept back because of the time of requests. After one that was,
// the next one of the connection is given: the time of an empty answer counts, too, so that a client below a small
// quota would never get its records.
func mayKeepBack(c *wire.Conn) bool {
	if c == nil {
		return false
	}
	keep := !c.KeptBack.Load()
	c.KeptBack.Store(keep)
	return keep
}

// percentOf is a time as an amount of request_percentage.
func percentOf(spent time.Duration) float64 {
	const percent = 100
	return spent.Seconds() * percent
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
	case kmsg.Fetch:
		if _, ok := resp.(*fetchResponse); ok { // it has been measured: see admitFetch
			return
		}
	case kmsg.ShareFetch:
		if answer, ok := resp.(wire.Streamed); ok {
			answer.SetVersion(m.r.Version)
			pause = count(quotas.ConsumerByteRate, float64(answer.SizeBytes()))
		}
	}
	if resp != nil && kmsg.Key(m.r.Key) != kmsg.WriteTxnMarkers { // as in Kafka, which exempts brokers
		pause = max(pause, count(quotas.RequestPercentage, percentOf(m.spent)))
	}
	if pause <= 0 {
		return
	}
	pauseClient(m.r, resp, pause)
}
