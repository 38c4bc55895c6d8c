package wire

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"once/internal/clock"
)

// refusalLog logs requests that were refused by this package. A version that is not served is the first thing that
// users ask about, so it is logged once for each client ID, key and version. The rate of all entries is limited, so
// that noise on the port does not fill the disk. Payloads are never logged.
type refusalLog struct {
	log   *slog.Logger
	clock clock.Clock
	mu    struct {
		sync.Mutex
		seen        map[string]struct{}
		windowStart time.Time
		inWindow    int
		suppressed  int
	}
}

const (
	refusalsSeen    = 1024             // combinations remembered before starting anew
	refusalWindow   = 10 * time.Second // in which at most
	refusalsWindow  = 20               // refusals are logged
	loggedNameBytes = 64               // of a client ID
)

// unserved logs a key or version that is not served.
func (l *refusalLog) unserved(c *Conn, reason closeReason, h *header) {
	client := string(h.clientID[:min(len(h.clientID), loggedNameBytes)])
	id := fmt.Sprintf("%d %d %s", h.key, h.version, client)
	if suppressed, ok := l.admit(id); ok {
		l.log.Warn("request is not served: connection closed", "reason", reason.String(), "key", h.key, "version", h.version,
			"client_id", client, "remote", c.RemoteAddr().String(), "suppressed", suppressed)
	}
}

// malformed logs a request that cannot be decoded.
func (l *refusalLog) malformed(c *Conn, reason closeReason, err error) {
	if suppressed, ok := l.admit(""); ok {
		l.log.Warn("request is malformed: connection closed", "reason", reason.String(), "error", err,
			"remote", c.RemoteAddr().String(), "suppressed", suppressed)
	}
}

// admit decides whether to log, and returns how many entries were dropped since the last one. An id is logged once.
func (l *refusalLog) admit(id string) (suppressed int, ok bool) {
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, seen := l.mu.seen[id]; seen && id != "" {
		return 0, false
	}
	if now.Sub(l.mu.windowStart) >= refusalWindow {
		l.mu.windowStart, l.mu.inWindow = now, 0
	}
	if l.mu.inWindow >= refusalsWindow {
		l.mu.suppressed++
		return 0, false
	}
	l.mu.inWindow++
	if id != "" {
		if l.mu.seen == nil || len(l.mu.seen) >= refusalsSeen {
			l.mu.seen = make(map[string]struct{})
		}
		l.mu.seen[id] = struct{}{}
	}
	suppressed, l.mu.suppressed = l.mu.suppressed, 0
	return suppressed, true
}
