package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
)

// osFile is a File with a descriptor; plainFile has none.
type osFile struct{ *os.File }

func (f osFile) Descriptor() (uintptr, bool) { return f.Fd(), true }

type plainFile struct{ *os.File }

func (plainFile) Descriptor() (uintptr, bool) { return 0, false }

// fileResponse is a SyncGroup answer whose assignment is a range of a file.
type fileResponse struct {
	*kmsg.SyncGroupResponse
	file     File
	pos, n   int64
	lie      int   // added to the true size
	fail     error // instead of the file
	panics   bool
	released *atomic.Int64
}

func (r *fileResponse) prefix() []byte {
	head := *r.SyncGroupResponse
	head.MemberAssignment = nil
	b := head.AppendTo(nil)
	return append(b[:len(b)-4], byte(r.n>>24), byte(r.n>>16), byte(r.n>>8), byte(r.n)) // version 0 ends with it
}

func (r *fileResponse) SizeBytes() int { return len(r.prefix()) + int(r.n) + r.lie }
func (r *fileResponse) Release()       { r.released.Add(1) }

func (r *fileResponse) WriteBody(w *BodyWriter) error {
	if _, err := w.Write(r.prefix()); err != nil {
		return err
	}
	if r.panics {
		panic("boom")
	}
	if r.fail != nil {
		return r.fail
	}
	return w.SendFile(r.file, r.pos, r.n)
}

// streamServer answers SyncGroup with what next returns.
func streamServer(t *testing.T, panics int, limits Limits, next func(r *Request) kmsg.Response) *testServer {
	apis := append(echoAPIs(), row{Key: 14, Min: 0, Max: 5, Pipelined: true,
		Handle: func(_ context.Context, r *Request) Reply {
			resp := next(r)
			if r.Body.(*kmsg.SyncGroupRequest).Generation == 1 {
				return Reply{Then: func(context.Context) kmsg.Response { return resp }}
			}
			return Respond(resp)
		}})
	return start(t, options{APIs: apis, Limits: limits}, panics)
}

func testFile(t *testing.T, n int) (*os.File, []byte) {
	t.Helper()
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i*7 + i/256)
	}
	name := filepath.Join(t.TempDir(), "segment")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, content
}

func TestStreamedResponseSendsRangesOfFiles(t *testing.T) {
	f, content := testFile(t, 3<<20)
	for name, file := range map[string]File{"descriptor": osFile{f}, "no descriptor": plainFile{f}} {
		t.Run(name, func(t *testing.T) {
			var released atomic.Int64
			var n atomic.Int64
			s := streamServer(t, 0, Limits{}, func(r *Request) kmsg.Response {
				return &fileResponse{SyncGroupResponse: r.Body.ResponseKind().(*kmsg.SyncGroupResponse), file: file, pos: 13,
					n: n.Load(), released: &released}
			})
			c := s.dial()
			for i, size := range []int64{0, 1, 1000, defaultCopyBytes, defaultCopyBytes + 1, 100_000, 3<<20 - 13} {
				n.Store(size)
				req := kmsg.NewPtrSyncGroupRequest()
				req.Generation = int32(i % 2) // every other one through the pipeline
				resp, err := c.Request(req)
				if err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
				if got := resp.(*kmsg.SyncGroupResponse).MemberAssignment; !bytes.Equal(got, content[13:13+size]) {
					t.Fatalf("%d bytes arrived changed", size)
				}
				mustMetadata(t, c)
				if released.Load() != int64(i+1) {
					t.Fatalf("released %d times after %d answers", released.Load(), i+1)
				}
			}
		})
	}
}

// A body that does not keep to its size cannot be followed by anything: the connection closes, and what
// the response holds is released.
func TestStreamedResponseThatBreaksOffClosesTheConnection(t *testing.T) {
	f, _ := testFile(t, 100_000)
	for name, tc := range map[string]struct {
		resp   fileResponse
		reason closeReason
	}{
		"file too short":       {fileResponse{file: osFile{f}, pos: 50_000, n: 60_000}, badResponse},
		"file too short, copy": {fileResponse{file: plainFile{f}, pos: 50_000, n: 60_000}, badResponse},
		"too many bytes":       {fileResponse{file: osFile{f}, n: 50_000, lie: -1}, badResponse},
		"too few bytes":        {fileResponse{file: osFile{f}, n: 50_000, lie: 1}, badResponse},
		"error":                {fileResponse{file: osFile{f}, n: 5, fail: errors.New("disk")}, badResponse},
		"panic":                {fileResponse{file: osFile{f}, n: 5, panics: true}, handlerPanic},
	} {
		for _, generation := range []int32{0, 1} {
			t.Run(fmt.Sprintf("%s pipelined=%d", name, generation), func(t *testing.T) {
				panics := 0
				if tc.resp.panics {
					panics = 1
				}
				var released atomic.Int64
				s := streamServer(t, panics, Limits{}, func(r *Request) kmsg.Response {
					resp := tc.resp
					resp.SyncGroupResponse, resp.released = r.Body.ResponseKind().(*kmsg.SyncGroupResponse), &released
					return &resp
				})
				c := s.dial()
				req := kmsg.NewPtrSyncGroupRequest()
				req.Generation = generation
				if _, err := c.Request(req); err == nil {
					t.Error("the client got a whole answer")
				}
				s.wantClosed(tc.reason, 1)
				if n := released.Load(); n != 1 {
					t.Errorf("released %d times", n)
				}
			})
		}
	}
}

func TestStreamedResponseIsReleasedWhenTheClientDoesNotRead(t *testing.T) {
	t.Parallel() // it waits
	f, _ := testFile(t, 32<<20)
	for name, file := range map[string]File{"descriptor": osFile{f}, "no descriptor": plainFile{f}} {
		t.Run(name, func(t *testing.T) {
			var made, released atomic.Int64
			s := streamServer(t, 0, Limits{WriteTimeout: 50 * time.Millisecond}, func(r *Request) kmsg.Response {
				made.Add(1)
				return &fileResponse{SyncGroupResponse: r.Body.ResponseKind().(*kmsg.SyncGroupResponse), file: file, n: 32 << 20,
					released: &released}
			})
			c := s.dial()
			req := kmsg.NewPtrSyncGroupRequest()
			req.Generation = 1
			for range 3 { // two more wait behind the one that is stuck
				if _, err := c.Send(req); err != nil {
					t.Fatal(err)
				}
			}
			s.wantClosed(writeTimeout, 1)
			if made.Load() != released.Load() || made.Load() == 0 {
				t.Errorf("made %d, released %d", made.Load(), released.Load())
			}
		})
	}
}

// Without a socket the ranges are copied.
func TestStreamedResponseOverAPipe(t *testing.T) {
	f, content := testFile(t, 200_000)
	client, server := net.Pipe()
	m, err := newMetrics(nil, func() int64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	var released atomic.Int64
	resp := &fileResponse{SyncGroupResponse: kmsg.NewPtrSyncGroupResponse(), file: osFile{f}, n: 200_000,
		released: &released}
	o := output{conn: server, limits: withDefaults(Limits{}), metrics: m}
	go func() {
		o.respond(resp, 1, false)
		o.flush()
		server.Close()
	}()
	frame, err := kafkatest.New(client).ReceiveFrame()
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(frame, content) {
		t.Error("the file arrived changed")
	}
}
