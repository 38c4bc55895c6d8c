package quotas

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// addressLimits are the quotas of addresses. They are immutable.
type addressLimits struct {
	of        map[netip.Addr]float64
	byDefault float64 // 0: none
}

// addressLimitsOf returns nil where there is no quota of an address.
func addressLimitsOf(kept map[string]Values) *addressLimits {
	limits := &addressLimits{of: map[netip.Addr]float64{}}
	for key, values := range kept {
		limit, ok := values[ConnectionCreationRate]
		if !ok {
			continue
		}
		if name, named := strings.CutPrefix(key, string(IP)+"="); named {
			limits.of[addressOf(name)] = limit
		} else {
			limits.byDefault = limit
		}
	}
	if len(limits.of) == 0 && limits.byDefault == 0 {
		return nil
	}
	return limits
}

// addressOf is for names that isAddress accepts.
func addressOf(name string) netip.Addr {
	if name == "localhost" {
		name = "127.0.0.1"
	}
	address, _ := netip.ParseAddr(name)
	return address.Unmap()
}

// Connect counts a connection of an address, and returns for how long it is to be held, at most a window, before it is
// closed; 0 where it is to be served. One that is held is not counted (KIP-612; spec: admin 17).
func (q *Quotas) Connect(from netip.Addr, now time.Time) time.Duration {
	limits := q.addresses.Load()
	if limits == nil {
		return 0
	}
	limit, ok := limits.of[from]
	if !ok {
		limit = limits.byDefault
	}
	if limit == 0 {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.rateLocked(rateKey{quota: ConnectionCreationRate, user: from.String()}, now)
	r.add(1, now)
	hold := min(r.pause(limit, now), q.cfg.Window)
	if hold > 0 {
		r.add(-1, now)
	}
	return hold
}

// Meter measures one rate. Safe for concurrent use.
type Meter struct {
	mu   sync.Mutex
	rate *rate
}

// NewMeter returns a meter without anything measured.
func NewMeter(cfg Config) *Meter { return &Meter{rate: newRate(cfg)} }

// Add adds an amount, and returns for how long whoever is measured has to pause, at most a window.
func (m *Meter) Add(amount, limit float64, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rate.add(amount, now)
	return min(m.rate.pause(limit, now), m.rate.cfg.Window)
}
