package broker

import (
	"once/wire"
)

func (c Config) limits() wire.Limits {
	return wire.Limits{
		MaxFrameBytes:  c.Settings.Int("socket.request.max.bytes"),
		IdleTimeout:    c.Settings.Milliseconds("connections.max.idle.ms"),
		FrameTimeout:   c.Settings.Milliseconds("request.timeout.ms"),
		MaxConnections: c.Settings.Int("max.connections"), MaxConnectionsPerIP: c.Settings.Int("max.connections.per.ip"),
		SendBufferBytes: c.Settings.Int("socket.send.buffer.bytes"),
	}
}
