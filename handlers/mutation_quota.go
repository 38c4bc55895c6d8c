package handlers

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// errThrottled refuses a change above controller_mutation_rate.
var errThrottled = errors.New("the quota for changes is exceeded")

// mutations measures the partitions that a request makes or deletes against controller_mutation_rate (KIP-599). Clients
// of older versions do not know the refusal: they are only told to pause.
type mutations struct {
	s      *Services
	r      *wire.Request
	strict bool
	pause  time.Duration
}

// mutations is for a request of an API that refuses from a version on.
func (s *Services) mutations(r *wire.Request, strictFrom int16) *mutations {
	return &mutations{s: s, r: r, strict: r.Version >= strictFrom}
}

// take counts partitions, or returns errThrottled and counts none.
func (m *mutations) take(partitions int) error {
	if m.s.Quotas == nil || !m.s.Quotas.Active() {
		return nil
	}
	pause, refused := m.s.Quotas.Mutate(anonymousPrincipal, m.r.ClientID, float64(partitions), m.strict, time.Now())
	m.pause = max(m.pause, pause)
	if refused {
		return fmt.Errorf("%w: try again in %d ms", errThrottled, pause.Milliseconds())
	}
	return nil
}

// respond answers, with the pause that the client has to make.
func (m *mutations) respond(resp kmsg.Response) wire.Reply {
	if m.pause > 0 {
		pauseClient(m.r, resp, m.pause)
	}
	return wire.Respond(resp)
}

// pauseClient writes a pause into an answer, if there is one and it has none that is longer, and mutes the connection.
func pauseClient(r *wire.Request, resp kmsg.Response, pause time.Duration) {
	if answer, ok := resp.(kmsg.ThrottleResponse); ok {
		if before, _ := answer.Throttle(); int64(before) >= pause.Milliseconds() {
			return
		}
	}
	if answer, ok := resp.(kmsg.SetThrottleResponse); ok {
		answer.SetThrottle(int32(pause.Milliseconds()))
	}
	if r.Conn != nil {
		r.Conn.Mute(pause)
	}
}
