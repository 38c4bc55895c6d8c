package broker

import (
	"fmt"
	"time"

	"once/handlers"
	"once/wire"
)

func minutes(n int64) time.Duration { return time.Duration(n) * time.Minute }

// transactionVersion returns the level that the feature transaction.version is finalized at.
func (c Config) transactionVersion() (int16, error) {
	v := c.Settings.Int("transaction.version")
	if v < 0 || v > handlers.TransactionVersionMax {
		return 0, fmt.Errorf("%w: transaction.version is %d, it can be 0 to %d", ErrConfig, v, handlers.TransactionVersionMax)
	}
	return int16(v), nil
}

func (c Config) limits() wire.Limits {
	return wire.Limits{
		MaxFrameBytes:  c.Settings.Int("socket.request.max.bytes"),
		IdleTimeout:    c.Settings.Milliseconds("connections.max.idle.ms"),
		FrameTimeout:   c.Settings.Milliseconds("request.timeout.ms"),
		MaxConnections: c.Settings.Int("max.connections"), MaxConnectionsPerIP: c.Settings.Int("max.connections.per.ip"),
		SendBufferBytes: c.Settings.Int("socket.send.buffer.bytes"),
	}
}
