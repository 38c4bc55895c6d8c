package broker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// captured is a request as a stock client sent it; see testdata/frames/README.md.
type captured struct {
	name          string // client/file
	frame         []byte
	key, version  int16
	correlationID int32
	body          kmsg.Request
}

// capturedFrames reads and decodes all frames. Each must be what its name says, and nothing else.
func capturedFrames(t testing.TB) []captured {
	t.Helper()
	files, err := filepath.Glob("../testdata/frames/*/*.bin")
	if err != nil || len(files) < 200 {
		t.Fatalf("%d captured frames: %v", len(files), err)
	}
	all := make([]captured, len(files))
	for i, file := range files {
		frame, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := captured{name: filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file), frame: frame}
		if c.key, c.version, c.correlationID, c.body, err = decodeFrame(frame); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if want := strconv.Itoa(int(c.key)) + "-v" + strconv.Itoa(int(c.version)) + ".bin"; filepath.Base(file) != want {
			t.Errorf("%s holds %s", c.name, want)
		}
		all[i] = c
	}
	return all
}

// decodeFrame takes a frame apart with kmsg, which must make the same bytes of it again.
func decodeFrame(frame []byte) (key, version int16, correlationID int32, body kmsg.Request, err error) {
	if len(frame) < 10 {
		return 0, 0, 0, nil, io.ErrUnexpectedEOF
	}
	key, version = int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
	correlationID = int32(binary.BigEndian.Uint32(frame[4:]))
	if body = kmsg.RequestForKey(key); body == nil {
		return key, version, correlationID, nil, errors.New("no such request")
	}
	body.SetVersion(version)
	at := 10 + max(0, int(int16(binary.BigEndian.Uint16(frame[8:]))))
	if body.IsFlexible() {
		at++
	}
	if at > len(frame) {
		return key, version, correlationID, body, io.ErrUnexpectedEOF
	}
	if err := body.ReadFrom(frame[at:]); err != nil {
		return key, version, correlationID, body, err
	}
	if again := body.AppendTo(nil); !bytes.Equal(again, frame[at:]) {
		err = errors.New("kmsg encodes it in another way")
	}
	return key, version, correlationID, body, err
}

// TestCapturedFrames sends each captured request to a broker that has never heard of what is in it. It is
// answered in its own form; only a Produce that wants no answer is met with a closed connection.
func TestCapturedFrames(t *testing.T) {
	for _, c := range capturedFrames(t) {
		t.Run(c.name, func(t *testing.T) {
			b := brokertest.Start(t, withAdmin, brokertest.WithMemory,
				brokertest.WithSettings(t, map[string]string{"group.initial.rebalance.delay.ms": "0",
					"offsets.topic.num.partitions": "1", "transaction.state.log.num.partitions": "1"}))
			h := &hostile{peer: &peer{t: t, addr: b.Addr(), own: b}, admin: b.AdminAddr()}
			h.replay(t, &c)
			counters := h.count()
			for reason, n := range counters.closed {
				if n > 0 && reason != "client_closed" && reason != "handler_closed" {
					t.Errorf("closed because of %s", reason)
				}
			}
			if counters.panics != 0 {
				t.Error("a handler panicked")
			}
		})
	}
}

func (h *hostile) replay(t *testing.T, c *captured) {
	conn := h.dial()
	defer conn.Close()
	if err := conn.SendFrame(c.frame); err != nil {
		t.Fatal(err)
	}
	if produce, ok := c.body.(*kmsg.ProduceRequest); ok && produce.Acks == 0 {
		if err := conn.WaitClosed(); err != nil {
			t.Errorf("no topic and no answer wanted: %v", err)
		}
		return
	}
	frame, err := conn.ReceiveFrame()
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if unserved, ok := c.body.(*kmsg.ApiVersionsRequest); ok && c.version > unserved.MaxVersion() {
		unserved.Version = 0 // so that the client can ask again
	}
	if _, err := kafkatest.DecodeResponse(c.body, c.correlationID, frame); err != nil {
		t.Errorf("the answer: %v", err)
	}
}
