package wire

import (
	"github.com/prometheus/client_golang/prometheus"
)

// closeReason is the reason why a connection ended; open while it has not.
type closeReason uint8

const (
	open           closeReason = iota
	clientClosed               // end of file between two requests
	frameCut                   // end of file within a request
	readFailed                 // reset, or another error of the socket
	writeFailed                // the same while answering
	writeTimeout               // the client does not take its answers
	idleTimeout                // connections.max.idle.ms
	frameTimeout               // a request begun and not ended
	badFrameLength             // negative or over the limit: TLS, HTTP, noise (B1, B4)
	badHeader                  // too short, or its fields are malformed (B2)
	unknownKey                 // no such API, or one that is not served (B5)
	badVersion                 // a version that is not served (B5)
	badBody                    // refused by the schema walker (B6-B9)
	badDecode                  // accepted by the walker, refused by kmsg: a bug in one of them
	handlerClosed              // Reply.Close or a nil answer, as for a failed Produce with acks=0
	handlerPanic
	badResponse    // longer than a frame can be, or a Streamed one that broke off
	noMemory       // MaxRequestBytesInFlight was used up for FrameTimeout
	tooMany        // ConnectionLimits.Total
	tooManyPerIP   // MaxConnectionsPerIP
	tooFastPerIP   // Options.Pace
	handshake      // of TLS
	serverShutdown // Shutdown
	closeReasons   // how many there are
)

var closeReasonNames = [closeReasons]string{
	open: "open", clientClosed: "client_closed", frameCut: "frame_cut", readFailed: "read_failed",
	writeFailed: "write_failed", writeTimeout: "write_timeout", idleTimeout: "idle_timeout",
	frameTimeout: "frame_timeout", badFrameLength: "bad_frame_length", badHeader: "bad_header",
	unknownKey: "unknown_key", badVersion: "bad_version", badBody: "bad_body", badDecode: "bad_decode",
	handlerClosed: "handler_closed", handlerPanic: "handler_panic", badResponse: "bad_response",
	noMemory: "no_memory", tooMany: "too_many", tooManyPerIP: "too_many_per_ip", tooFastPerIP: "too_fast_per_ip",
	handshake: "handshake", serverShutdown: "shutdown",
}

// String returns the metric label.
func (r closeReason) String() string { return closeReasonNames[r] }

// metrics of a Server. Labels are API names and close reasons, both closed sets.
type metrics struct {
	connections prometheus.Gauge
	closed      [closeReasons]prometheus.Counter
	panics      prometheus.Counter
	bytesIn     prometheus.Counter
	bytesOut    prometheus.Counter
	requests    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
}

// newMetrics registers the metrics; a nil Registerer leaves them unregistered.
func newMetrics(r prometheus.Registerer, bytesInFlight func() int64) (*metrics, error) {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wire_connections", Help: "Open client connections."}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wire_handler_panics_total", Help: "Handlers that panicked; each one is a bug and closed a connection."}),
		bytesIn: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wire_received_bytes_total", Help: "Bytes received from clients."}),
		bytesOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wire_sent_bytes_total", Help: "Bytes sent to clients."}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wire_requests_total", Help: "Requests decoded, by API."}, []string{"api"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "wire_request_duration_seconds", Help: "From a request being read to its answer being encoded, by API.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}, []string{"api"}),
	}
	closed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wire_connections_closed_total", Help: "Connections closed, by reason."}, []string{"reason"})
	for i := clientClosed; i < closeReasons; i++ {
		m.closed[i] = closed.WithLabelValues(i.String())
	}
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "wire_request_bytes_in_flight", Help: "Bytes of big requests being received or handled.",
	}, func() float64 { return float64(bytesInFlight()) })
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.connections, m.panics, m.bytesIn, m.bytesOut, m.requests, m.duration,
		closed, inFlight} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
