package wire

import (
	"cmp"
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Request is one decoded request. Its byte slices and strings point into the frame that it arrived in and are valid
// until the reply has been sent; code that keeps one longer copies it.
type Request struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      string       // "" when the client sent null; a string of its own, that may be kept
	Body          kmsg.Request // nil only for an ApiVersions request of a version that is not served
	SizeBytes     int          // of the frame, without its length prefix
	Conn          *Conn
	Fault         string // ID of the test's rule that acts on it; "" for none
}

// Reply is the result of a handler. Exactly one of these holds: Response is set (send it), Then is set (wait, then send
// its result), Resume is set (wait, then follow its Reply), Close is set (close this connection, send nothing), or all
// are zero (send nothing and go on, as for Produce with acks=0).
type Reply struct {
	Response kmsg.Response
	// Then waits for the answer's last condition, such as the disk or other group members. For a Pipelined API the
	// connection's next requests are handled meanwhile; answers are still sent in order. Then must return when ctx
	// ends, with whatever answer it has; nil closes the connection.
	Then func(ctx context.Context) kmsg.Response
	// Resume waits until the request can be carried out, carries it out, and returns the handler's result, which must
	// not be Resume again. The connection's next request is read meanwhile, so that a closed connection is noticed, and
	// handled when Resume has returned. Resume must return when ctx ends.
	Resume func(ctx context.Context) Reply
	Close  bool
}

// Handler carries out a request. It is called for one request of a connection at a time, in order. ctx ends with the
// connection.
type Handler func(ctx context.Context, r *Request) Reply

// API is one row of the table of requests that are served.
type API struct {
	Key      int16
	Min, Max int16 // versions served
	// Advertised is the lowest version that ApiVersions shows when it is not Min: Kafka shows Produce
	// from 0, because librdkafka reads that as "this broker knows compression" (KAFKA-18659).
	Advertised *int16
	// Pipelined says that further requests of the connection may be handled while Then waits.
	Pipelined bool
}

// Respond is a Reply that is ready.
func Respond(r kmsg.Response) Reply { return Reply{Response: r} }

// Advertise lists the table for ApiVersions, ordered by key.
func Advertise(apis []API) []kmsg.ApiVersionsResponseApiKey {
	keys := make([]kmsg.ApiVersionsResponseApiKey, 0, len(apis))
	for _, a := range apis {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = a.Key, a.Min, a.Max
		if a.Advertised != nil {
			k.MinVersion = *a.Advertised
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b kmsg.ApiVersionsResponseApiKey) int { return cmp.Compare(a.ApiKey, b.ApiKey) })
	return keys
}
