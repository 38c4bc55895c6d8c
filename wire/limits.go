package wire

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Limits bounds the resources that clients can use. Zero fields take their defaults.
type Limits struct {
	// MaxFrameBytes is the longest request, without its length prefix; a longer one closes the connection.
	// Default 104857600, Kafka's socket.request.max.bytes. It is no promise of memory: buffers grow with the
	// bytes received.
	MaxFrameBytes int
	// MaxRequestBytesInFlight is the sum, over all connections, of the request bytes that are being received
	// or handled. At the limit, sockets stay unread. The first FirstFrameBytes of each request do not count, so
	// that heartbeats pass while big produces wait. Default 512 MiB.
	MaxRequestBytesInFlight int64
	// ReadAheadRequests and ReadAheadBytes bound the requests of one connection whose answers are awaited
	// while further ones are read. At either limit the socket stays unread. Defaults 16 requests and 8 MiB:
	// three times the five requests that an idempotent producer keeps in flight.
	ReadAheadRequests int
	ReadAheadBytes    int
	// IdleTimeout closes a connection that has sent nothing for this time and waits for no answer. Default 10 minutes,
	// Kafka's connections.max.idle.ms; Java clients close after 9.
	IdleTimeout time.Duration
	// FrameTimeout closes a connection that has begun a request and sends less than FirstFrameBytes of it in
	// this time. Default 30 s, Kafka's request timeout.
	FrameTimeout time.Duration
	// WriteTimeout closes a connection that takes no bytes of its answer for this time. Default IdleTimeout: a consumer
	// may leave a fetched answer unread while it processes the last one.
	WriteTimeout time.Duration
	// MaxConnections holds back further accepts while so many connections are open (max.connections);
	// MaxConnectionsPerIP closes a connection of an address that has so many (max.connections.per.ip).
	// 0 means no limit.
	MaxConnections      int
	MaxConnectionsPerIP int
	// ReceiveBufferBytes is the system's buffer for requests that have not been read, for each connection
	// (socket.receive.buffer.bytes). A value of 0 or less means the system's own choice, which grows as needed.
	ReceiveBufferBytes int
	// SendBufferBytes is the system's buffer for answers that a client has not taken, for each connection
	// (socket.send.buffer.bytes). It bounds how long the transfer of a large Fetch keeps one processor busy at a
	// stretch. A value of 0 or less means the system's own choice, which grows to megabytes.
	SendBufferBytes int

	// The sizes of the pieces in which bytes are read and written. They have no effect that a client can see.

	// ReadBufferBytes is the buffer that an idle connection keeps. Small requests arrive in one read; of a big one only
	// the beginning passes through it. Default 4 KiB, at least the 4 bytes of a frame's length.
	ReadBufferBytes int
	// FirstFrameBytes is the most that is allocated because of a length prefix alone. Default 64 KiB.
	FirstFrameBytes int
	// FlushBytes is the size at which collected answers are written although further requests wait. Default
	// 64 KiB.
	FlushBytes int
	// WriteChunkBytes must be taken within WriteTimeout, so that a slow reader of a large answer does not look like one
	// that has stopped. Default 256 KiB.
	WriteChunkBytes int
	// CopyBytes is the size up to which a range of a file is copied through the buffer, because another system call
	// costs as much. Larger ranges are copied in pieces of this size where sendfile does not work. Default 32 KiB.
	CopyBytes int
}

// The defaults of Limits that are sizes.
const (
	defaultMaxFrameBytes           = 104857600
	defaultMaxRequestBytesInFlight = 512 << 20
	defaultReadAheadRequests       = 16
	defaultReadAheadBytes          = 8 << 20
	defaultReadBufferBytes         = 4 << 10
	defaultFirstFrameBytes         = 64 << 10
	defaultFlushBytes              = 64 << 10
	defaultWriteChunkBytes         = 256 << 10
	defaultCopyBytes               = 32 << 10
)

const (
	// prefixBytes is the size of the length before every frame.
	prefixBytes = 4
	// maxResponseBytes is the longest answer that its prefix can announce.
	maxResponseBytes = math.MaxInt32
	// frameGrowth is the factor by which a frame's buffer may exceed the bytes received.
	frameGrowth = 4
	// maxUnknownTags is how many tagged fields of unknown number a struct may carry (CVE-2026-111115).
	maxUnknownTags = 1000
	// maxArrayElements is how many elements an array may have, as in Kafka from 4.4 on.
	maxArrayElements = 1_000_000
	// maxStringBytes is the longest string in Kafka's protocol; compact strings could be longer.
	maxStringBytes = 32767
	// Decoding a request may allocate decodeFactor bytes for each byte of its frame, and decodeSlackBytes.
	decodeFactor     = 8
	decodeSlackBytes = 64 << 10
)

func (l *Limits) setDefaults() {
	def(&l.MaxFrameBytes, defaultMaxFrameBytes)
	def(&l.MaxRequestBytesInFlight, defaultMaxRequestBytesInFlight)
	def(&l.ReadAheadRequests, defaultReadAheadRequests)
	def(&l.ReadAheadBytes, defaultReadAheadBytes)
	def(&l.IdleTimeout, 10*time.Minute)
	def(&l.FrameTimeout, 30*time.Second)
	def(&l.WriteTimeout, l.IdleTimeout)
	def(&l.ReadBufferBytes, defaultReadBufferBytes)
	def(&l.FirstFrameBytes, defaultFirstFrameBytes)
	def(&l.FlushBytes, defaultFlushBytes)
	def(&l.WriteChunkBytes, defaultWriteChunkBytes)
	def(&l.CopyBytes, defaultCopyBytes)
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// validate reports every limit that is negative or too small.
func (l *Limits) validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxFrameBytes", int64(l.MaxFrameBytes)},
		{"MaxRequestBytesInFlight", l.MaxRequestBytesInFlight},
		{"ReadAheadRequests", int64(l.ReadAheadRequests)},
		{"ReadAheadBytes", int64(l.ReadAheadBytes)},
		{"IdleTimeout", int64(l.IdleTimeout)},
		{"FrameTimeout", int64(l.FrameTimeout)},
		{"WriteTimeout", int64(l.WriteTimeout)},
		{"MaxConnections", int64(l.MaxConnections)},
		{"MaxConnectionsPerIP", int64(l.MaxConnectionsPerIP)},
		{"FirstFrameBytes", int64(l.FirstFrameBytes)},
		{"FlushBytes", int64(l.FlushBytes)},
		{"WriteChunkBytes", int64(l.WriteChunkBytes)},
		{"CopyBytes", int64(l.CopyBytes)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("limit %s is negative: %d", f.name, f.value))
		}
	}
	if l.ReadBufferBytes < prefixBytes {
		errs = append(errs, fmt.Errorf("limit ReadBufferBytes is %d, a frame's length takes %d", l.ReadBufferBytes,
			prefixBytes))
	}
	return errors.Join(errs...)
}
