package wire

import (
	"errors"
	"fmt"
	"time"
)

// Limits bounds what clients can make a Server hold. Zero fields take their defaults.
type Limits struct {
	// MaxFrameBytes is the longest request, without its length prefix; a longer one closes the connection.
	// Default 104857600, Kafka's socket.request.max.bytes. It is no promise of memory: buffers grow with the
	// bytes received.
	MaxFrameBytes int
	// MaxRequestBytesInFlight is the sum, over all connections, of the request bytes that are being received
	// or handled. At the limit, sockets stay unread. The first 64 KiB of each request do not count, so that
	// heartbeats pass while big produces wait. Default 512 MiB.
	MaxRequestBytesInFlight int64
	// ReadAheadRequests and ReadAheadBytes bound the requests of one connection whose answers are awaited
	// while further ones are read. At either limit the socket stays unread. Defaults 16 requests and 8 MiB:
	// three times the five requests that an idempotent producer keeps in flight.
	ReadAheadRequests int
	ReadAheadBytes    int
	// IdleTimeout closes a connection that has sent nothing for so long and awaits nothing. Default 10
	// minutes, Kafka's connections.max.idle.ms; Java clients close from their side after 9.
	IdleTimeout time.Duration
	// FrameTimeout closes a connection that has begun a request and sends less than 64 KiB of it in this
	// time. Default 30 s, Kafka's request timeout.
	FrameTimeout time.Duration
	// WriteTimeout closes a connection that takes none of its answer for so long. Default IdleTimeout: a
	// consumer may leave a fetched answer unread for as long as it processes the last one.
	WriteTimeout time.Duration
	// MaxConnections holds back further accepts while so many connections are open (max.connections);
	// MaxConnectionsPerIP closes a connection of an address that has so many (max.connections.per.ip).
	// 0 means no limit, as in Kafka.
	MaxConnections      int
	MaxConnectionsPerIP int
	// SendBufferBytes is what the system may hold of answers that a client has not taken, for each connection
	// (socket.send.buffer.bytes). It bounds how long the transfer of a large Fetch keeps a processor from
	// everybody else at a stretch. Not above 0 means the system's own choice, which grows to megabytes.
	SendBufferBytes int
}

const (
	// readBufferBytes is the buffer that an idle connection keeps. Small requests arrive in one read; of a
	// big one only the head passes through it.
	readBufferBytes = 4 << 10
	// firstFrameBytes is the most that is allocated on the word of a length prefix alone.
	firstFrameBytes = 64 << 10
	// flushBytes is the size at which collected answers are written although further requests wait.
	flushBytes = 64 << 10
	// maxUnknownTags is how many tagged fields of unknown number a struct may carry (CVE-2026-111115).
	maxUnknownTags = 1000
	// maxStringBytes is the longest string in Kafka's protocol; compact strings could be longer.
	maxStringBytes = 32767
	// Decoding a request may allocate decodeFactor bytes for each byte of its frame, and decodeSlackBytes.
	decodeFactor     = 8
	decodeSlackBytes = 64 << 10
)

func (l *Limits) setDefaults() {
	def(&l.MaxFrameBytes, 104857600)
	def(&l.MaxRequestBytesInFlight, 512<<20)
	def(&l.ReadAheadRequests, 16)
	def(&l.ReadAheadBytes, 8<<20)
	def(&l.IdleTimeout, 10*time.Minute)
	def(&l.FrameTimeout, 30*time.Second)
	def(&l.WriteTimeout, l.IdleTimeout)
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// validate reports every limit that is negative.
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
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("limit %s is negative: %d", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}
