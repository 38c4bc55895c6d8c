package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
)

// No client can tell in what pieces a server reads and writes. The tests of this file hold that for pieces of a few
// bytes, where every boundary is met many times, and for those of the defaults.

// pieceSizes are sizes of pieces that are far below the defaults.
var pieceSizes = []int{1, 2, 7, 100}

// piecesOf returns limits with pieces of n bytes.
func piecesOf(n int) Limits {
	return Limits{
		ReadBufferBytes: max(n, prefixBytes),
		FirstFrameBytes: n,
		FlushBytes:      n,
		WriteChunkBytes: n,
		CopyBytes:       n,
	}
}

// bodyPiece is written as it is, or is a range of a file.
type bodyPiece struct {
	bytes  []byte
	file   File
	pos, n int64
}

// pieceResponse is a SyncGroup answer whose assignment is written piece by piece.
type pieceResponse struct {
	fileResponse
	pieces []bodyPiece
}

func (r *pieceResponse) WriteBody(w *BodyWriter) error {
	if _, err := w.Write(r.prefix()); err != nil {
		return err
	}
	for _, p := range r.pieces {
		if p.file != nil {
			if err := w.SendFile(p.file, p.pos, p.n); err != nil {
				return err
			}
		} else if _, err := w.Write(p.bytes); err != nil {
			return err
		}
	}
	return nil
}

// Whatever a streamed answer is put together from, and in whatever pieces it is copied and sent, it arrives whole.
func TestStreamedResponseInPiecesOfAnySize(t *testing.T) {
	type sizes struct {
		limits Limits
		near   []int // sizes of pieces that are worth a try, and one more or less
		random int   // the longest of the other pieces
	}
	all := map[string]sizes{"defaults": {
		near: []int{defaultReadBufferBytes, defaultCopyBytes, defaultFlushBytes, defaultWriteChunkBytes,
			3 * defaultWriteChunkBytes},
		random: 2 * defaultWriteChunkBytes,
	}}
	for _, n := range pieceSizes {
		all[fmt.Sprint("pieces of ", n)] = sizes{limits: piecesOf(n), near: []int{n, 2 * n, 3 * n, 10 * n},
			random: 5*n + 20}
	}
	f, content := testFile(t, 4*defaultWriteChunkBytes)
	for name, size := range all {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(11, 12))
			length := func() int {
				if rnd.IntN(2) == 0 {
					return rnd.IntN(size.random + 1)
				}
				return size.near[rnd.IntN(len(size.near))] + rnd.IntN(3) - 1
			}
			var next atomic.Pointer[pieceResponse]
			s := streamServer(t, 0, size.limits, func(r *Request) kmsg.Response {
				resp := next.Load()
				resp.SyncGroupResponse = r.Body.ResponseKind().(*kmsg.SyncGroupResponse)
				return resp
			})
			c := s.dial()
			var released atomic.Int64
			for i := range 60 {
				resp, want := &pieceResponse{fileResponse: fileResponse{released: &released}}, []byte{}
				for range rnd.IntN(6) {
					n := length()
					pos := rnd.IntN(len(content) - n)
					p := bodyPiece{pos: int64(pos), n: int64(n)}
					switch rnd.IntN(3) {
					case 0:
						p.bytes = content[pos : pos+n]
					case 1:
						p.file = osFile{f}
					default:
						p.file = plainFile{f}
					}
					resp.pieces = append(resp.pieces, p)
					want = append(want, content[pos:pos+n]...)
				}
				resp.n = int64(len(want))
				next.Store(resp)
				req := kmsg.NewPtrSyncGroupRequest()
				req.Generation = int32(i % 2) // every other one through the pipeline
				got, err := c.Request(req)
				if err != nil {
					t.Fatalf("answer %d, %d bytes: %v", i, len(want), err)
				}
				if !bytes.Equal(got.(*kmsg.SyncGroupResponse).MemberAssignment, want) {
					t.Fatalf("answer %d, %d bytes in %d pieces: arrived changed", i, len(want), len(resp.pieces))
				}
				mustMetadata(t, c)
			}
		})
	}
}

// deadlineConn notes how much had been read whenever a deadline was set.
type deadlineConn struct {
	scriptedConn
	read int
	set  []int
}

func (c *deadlineConn) Read(p []byte) (int, error) {
	n, err := c.scriptedConn.Read(p)
	c.read += n
	return n, err
}

func (c *deadlineConn) SetReadDeadline(time.Time) error {
	c.set = append(c.set, c.read)
	return nil
}

// The time for a frame begins anew with every FirstFrameBytes of it, and not with less.
func TestFrameTimeoutIsForAPieceOfTheFrame(t *testing.T) {
	for _, n := range []int{1, 2, 7, 100, defaultFirstFrameBytes} {
		read := func(frameBytes, pieceBytes int) []int {
			nc := &deadlineConn{scriptedConn: scriptedConn{data: framed(make([]byte, frameBytes)),
				pieces: []byte{byte(pieceBytes - 1)}}}
			limits := piecesOf(n)
			f := frameReader{
				conn: nc, limits: withDefaults(limits), budget: &byteBudget{max: 1 << 30},
				metrics: mustServer(t, options{}).metrics, parked: func() bool { return false },
				closing: func() bool { return false }, max: 100 << 20, buf: make([]byte, max(n, prefixBytes)),
				sinceFrame: -1,
			}
			fr, reason := f.next(func() closeReason { return open })
			if reason != open || len(fr.b) != frameBytes {
				t.Fatalf("%d bytes, %v", len(fr.b), reason)
			}
			f.release(&fr)
			return nc.set
		}
		pieceBytes := min(n, 200)
		set := append(read(10*n, pieceBytes), 10*n+prefixBytes)
		for i := 1; i < len(set); i++ {
			if got := set[i] - set[i-1]; got > n+pieceBytes+prefixBytes {
				t.Errorf("pieces of %d: %d bytes were read under one deadline", n, got)
			}
		}
		// One deadline is set for what is idle, one when the frame has begun.
		if n > prefixBytes {
			if set := read(n-prefixBytes, 1); len(set) != 2 {
				t.Errorf("pieces of %d: deadlines were set at bytes %d of as many, which came one at a time", n, set)
			}
		}
	}
}

// budgetConn finds the most bytes of a frame that had been read beyond what had been taken from the budget.
type budgetConn struct {
	scriptedConn
	budget    *byteBudget
	read      int
	uncharged int
}

func (c *budgetConn) Read(p []byte) (int, error) {
	n, err := c.scriptedConn.Read(p)
	c.read += n
	c.uncharged = max(c.uncharged, c.read-int(c.budget.inUse()))
	return n, err
}

// Bytes of a frame come out of the budget before they are read, but for the first ones, also when its buffer is one
// that append has grown and has room for more.
func TestFrameBytesAreChargedBeforeTheyAreRead(t *testing.T) {
	for _, first := range []int{1, 100, defaultFirstFrameBytes} {
		limits := withDefaults(Limits{FirstFrameBytes: first})
		for round := range 30 { // the pool forgets at times
			for n := 600; n < 1<<20; n += n/2 + 1 {
				putBuffer(make([]byte, 0, n))
			}
			n := 40*first + 5000 + 7*round
			budget := &byteBudget{max: 1 << 30}
			nc := &budgetConn{scriptedConn: scriptedConn{data: framed(make([]byte, n))}, budget: budget}
			f := frameReader{
				conn: nc, limits: limits, budget: budget, metrics: mustServer(t, options{}).metrics,
				parked: func() bool { return false }, closing: func() bool { return false }, max: 100 << 20,
				buf: make([]byte, limits.ReadBufferBytes), sinceFrame: -1,
			}
			fr, reason := f.next(func() closeReason { return open })
			if reason != open || len(fr.b) != n {
				t.Fatalf("%d of %d bytes, %v", len(fr.b), n, reason)
			}
			// What comes through the connection's own buffer is not charged: the head, and a tail of half of it.
			if most := first + len(f.buf) + len(f.buf)/2 + prefixBytes; nc.uncharged > most {
				t.Fatalf("frame of %d bytes: %d were read that had not been charged, %d may be", n, nc.uncharged, most)
			}
			f.release(&fr)
		}
	}
}

// framed puts the length in front of a frame.
func framed(payload []byte) []byte {
	n := len(payload)
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, payload...)
}

// slowConn takes only so many bytes of each write in time.
type slowConn struct {
	scriptedConn
	takes   int
	longest int // write that was asked for
}

func (c *slowConn) Write(p []byte) (int, error) {
	c.longest = max(c.longest, len(p))
	if len(p) <= c.takes {
		return c.out.Write(p)
	}
	c.out.Write(p[:c.takes])
	return c.takes, os.ErrDeadlineExceeded
}

// A client has WriteTimeout for each WriteChunkBytes of an answer, and longer if it takes some of them.
func TestWriteTimeoutIsForAPieceOfTheAnswer(t *testing.T) {
	for _, n := range []int{1, 2, 7, 100, defaultWriteChunkBytes} {
		for _, takes := range []int{0, 1, n/2 + 1, n} {
			nc := &slowConn{takes: takes}
			limits := piecesOf(n)
			o := output{conn: nc, limits: withDefaults(limits), metrics: mustServer(t, options{}).metrics}
			answer := make([]byte, min(10*n, 2*n+5000))
			if takes == n {
				answer = make([]byte, 10*n)
			}
			if takes == 1 && n > 1000 {
				answer = answer[:1000]
			}
			o.write(answer)
			want, reason := len(answer), open
			if takes == 0 {
				want, reason = 0, writeTimeout
			}
			if o.failed != reason || nc.out.Len() != want || nc.longest != min(n, len(answer)) {
				t.Errorf("chunks of %d, %d taken at once: %v, %d of %d bytes, the longest write %d", n, takes,
					o.failed, nc.out.Len(), want, nc.longest)
			}
		}
	}
}

// A connection's own requests pass the budget of request bytes however small it is: one after the other.
func TestOneConnectionPassesAnyBudget(t *testing.T) {
	for _, budget := range []int64{1, 100, 5000} {
		limits := piecesOf(7)
		limits.MaxRequestBytesInFlight = budget
		apis := append(echoAPIs()[1:], row{Key: 0, Min: 3, Max: 13, Pipelined: true,
			Handle: func(_ context.Context, r *Request) Reply {
				return Reply{Then: func(context.Context) kmsg.Response { return r.Body.ResponseKind() }}
			}})
		s := start(t, options{APIs: apis, Limits: limits}, 0)
		c := s.dial()
		sent := make(chan error, 1)
		request := func(n int) *kmsg.ProduceRequest {
			r := produceRequest(9)
			r.Topics[0].Partitions[0].Records = make([]byte, n)
			return r
		}
		sizes := []int{1, 600, 3, 20_000, 2_000, 500_000, 1}
		go func() {
			var b []byte
			for i, n := range sizes {
				b = kafkatest.AppendRequest(b, request(n), int32(i), c.ClientID)
			}
			_, err := c.Write(b)
			sent <- err
		}()
		for i, n := range sizes {
			if _, err := c.Receive(request(n), int32(i)); err != nil {
				t.Fatalf("budget of %d, request of %d bytes: %v", budget, n, err)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

// An answer that is longer than a frame can be is not begun; one that is just as long is.
func TestAnswerTooLargeForAFrame(t *testing.T) {
	for _, tc := range []struct {
		sizeBytes int
		begun     bool
	}{{maxResponseBytes - prefixBytes, true}, {maxResponseBytes - prefixBytes + 1, false}, {1 << 40, false},
		{-1, false}} {
		var released atomic.Int64
		s := streamServer(t, 0, Limits{}, func(r *Request) kmsg.Response {
			return &endlessResponse{r.Body.ResponseKind().(*kmsg.SyncGroupResponse), tc.sizeBytes, &released}
		})
		c := s.dial()
		m := metadataRequest(12, "orders")
		b := kafkatest.AppendRequest(nil, m, 1, c.ClientID)
		if _, err := c.Write(kafkatest.AppendRequest(b, kmsg.NewPtrSyncGroupRequest(), 2, c.ClientID)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Receive(m, 1); err != nil {
			t.Errorf("%d bytes: the answer before it: %v", tc.sizeBytes, err)
		}
		if tc.begun {
			var head [prefixBytes]byte
			if _, err := c.Read(head[:]); err != nil || head != [prefixBytes]byte{0x7f, 0xff, 0xff, 0xff} {
				t.Errorf("%d bytes: it begins with % x, %v", tc.sizeBytes, head, err)
			}
		} else if err := c.WaitClosed(); err != nil {
			t.Errorf("%d bytes: %v", tc.sizeBytes, err)
		}
		s.wantClosed(badResponse, 1)
		if released.Load() != 1 {
			t.Errorf("%d bytes: released %d times", tc.sizeBytes, released.Load())
		}
	}
}

// endlessResponse breaks off after its first bytes.
type endlessResponse struct {
	*kmsg.SyncGroupResponse
	sizeBytes int
	released  *atomic.Int64
}

func (r *endlessResponse) SizeBytes() int { return r.sizeBytes }
func (r *endlessResponse) Release()       { r.released.Add(1) }
func (r *endlessResponse) WriteBody(w *BodyWriter) error {
	if _, err := w.Write(make([]byte, defaultFlushBytes)); err != nil {
		return err
	}
	return errors.New("that was all")
}
