package broker

import (
	"once/wire"
)

func (c Config) limits() wire.Limits {
	return wire.Limits{
		MaxFrameBytes:       c.Settings.SocketRequestMaxBytes,
		IdleTimeout:         c.Settings.ConnectionsMaxIdle,
		FrameTimeout:        c.Settings.RequestTimeout,
		MaxConnections:      c.Settings.MaxConnections,
		MaxConnectionsPerIP: c.Settings.MaxConnectionsPerIP,
		ReceiveBufferBytes:  c.Settings.SocketReceiveBufferBytes,
		SendBufferBytes:     c.Settings.SocketSendBufferBytes,
	}
}
