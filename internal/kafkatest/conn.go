// Package kafkatest is a raw Kafka client for tests. It sends any request at any version, valid or not, and none of its
// own. It knows framing and headers only, so that the tests of every package can use it. Fill makes a request from
// JSON, and Text prints an answer. Tests only.
package kafkatest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ClientID is the client ID of a new Conn.
const ClientID = "kafkatest"

// DefaultTimeout bounds each wait for an answer. It ends a test that hangs: a busy machine may take long, and no result
// depends on it.
const DefaultTimeout = time.Minute

// Conn is a connection to a broker. Requests may be pipelined with Send and Receive. One goroutine may
// send while another receives.
type Conn struct {
	net.Conn
	ClientID *string       // sent in headers; nil sends null
	Timeout  time.Duration // for each answer; DefaultTimeout at first
	lastID   int32
}

// Dial connects to a broker at host:port.
func Dial(addr string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, DefaultTimeout)
	if err != nil {
		return nil, err
	}
	return New(nc), nil
}

// New uses a connection that exists, such as an end of a net.Pipe.
func New(nc net.Conn) *Conn {
	return &Conn{Conn: nc, ClientID: kmsg.StringPtr(ClientID), Timeout: DefaultTimeout}
}

// Request sends a request at the version set in it and waits for the answer.
func (c *Conn) Request(r kmsg.Request) (kmsg.Response, error) {
	id, err := c.Send(r)
	if err != nil {
		return nil, err
	}
	return c.Receive(r, id)
}

// Send sends a request and returns its correlation ID.
func (c *Conn) Send(r kmsg.Request) (correlationID int32, err error) {
	c.lastID++
	_, err = c.Write(AppendRequest(nil, r, c.lastID, c.ClientID))
	return c.lastID, err
}

// Receive reads the next answer and decodes it as that of r. It fails unless the answer has the given
// correlation ID and is exactly as long as its content.
func (c *Conn) Receive(r kmsg.Request, correlationID int32) (kmsg.Response, error) {
	frame, err := c.ReceiveFrame()
	if err != nil {
		return nil, err
	}
	return DecodeResponse(r, correlationID, frame)
}

// SendFrame sends a payload behind its length.
func (c *Conn) SendFrame(payload []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...))
	return err
}

// ReceiveFrame reads an answer without its length. io.EOF means that the broker closed the connection
// between two answers.
func (c *Conn) ReceiveFrame() ([]byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
		return nil, err
	}
	n := int32(binary.BigEndian.Uint32(head[:]))
	if n < 0 {
		return nil, fmt.Errorf("answer of %d bytes", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(c.Conn, frame)
	return frame, err
}

// WaitClosed returns nil when the broker closes the connection without sending anything more.
func (c *Conn) WaitClosed() error {
	if err := c.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
		return err
	}
	var b [1]byte
	n, err := c.Conn.Read(b[:])
	var timeout net.Error
	switch {
	case n > 0:
		return errors.New("the broker sent something instead of closing")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the broker did not close the connection")
	}
	return nil // end of file, or reset
}

// AppendHeader appends a request header v1, or v2 when flexible.
func AppendHeader(dst []byte, key, version int16, correlationID int32, clientID *string, flexible bool) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(key))
	dst = binary.BigEndian.AppendUint16(dst, uint16(version))
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if clientID == nil {
		dst = append(dst, 0xff, 0xff)
	} else {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(*clientID)))
		dst = append(dst, *clientID...)
	}
	if flexible {
		dst = append(dst, 0)
	}
	return dst
}

// AppendRequest appends a whole frame, with its length.
func AppendRequest(dst []byte, r kmsg.Request, correlationID int32, clientID *string) []byte {
	start := len(dst)
	dst = AppendHeader(append(dst, 0, 0, 0, 0), r.Key(), r.GetVersion(), correlationID, clientID, r.IsFlexible())
	dst = r.AppendTo(dst)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// DecodeResponse decodes an answer to r from a frame without its length.
func DecodeResponse(r kmsg.Request, correlationID int32, frame []byte) (kmsg.Response, error) {
	if len(frame) < 4 {
		return nil, fmt.Errorf("answer of %d bytes", len(frame))
	}
	if got := int32(binary.BigEndian.Uint32(frame)); got != correlationID {
		return nil, fmt.Errorf("answer has correlation ID %d, want %d", got, correlationID)
	}
	body := frame[4:]
	if r.IsFlexible() && r.Key() != int16(kmsg.ApiVersions) {
		if len(body) == 0 || body[0] != 0 {
			return nil, errors.New("answer has no empty tag buffer in its header")
		}
		body = body[1:]
	}
	resp := r.ResponseKind()
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("decoding answer: %w", err)
	}
	if again := resp.AppendTo(nil); len(again) != len(body) {
		return nil, fmt.Errorf("answer has %d bytes, its content takes %d", len(body), len(again))
	}
	return resp, nil
}
