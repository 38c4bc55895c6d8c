package wire

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
)

func TestShutdownWakesParkedRequestsAndAnswersThem(t *testing.T) {
	parked := make(chan struct{}, 2)
	park := func(_ context.Context, r *Request) Reply {
		return Reply{Then: func(ctx context.Context) kmsg.Response {
			parked <- struct{}{}
			<-ctx.Done()
			return r.Body.ResponseKind()
		}}
	}
	apis := append(echoAPIs()[1:], row{Key: 0, Min: 3, Max: 13, Handle: park, Pipelined: true},
		row{Key: 12, Min: 0, Max: 4, Handle: park})
	closed := make(chan int64, 3)
	s := start(t, options{APIs: apis, OnClose: func(c *Conn) { closed <- c.ID() }}, 0)
	idle, a, b := s.dial(), s.dial(), s.dial()
	mustMetadata(t, idle)
	heartbeat, produce := kmsg.NewPtrHeartbeatRequest(), produceRequest(9)
	ida, _ := a.Send(heartbeat)
	idb, _ := b.Send(produce)
	<-parked
	<-parked
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Receive(heartbeat, ida); err != nil {
		t.Error(err)
	}
	if _, err := b.Receive(produce, idb); err != nil {
		t.Error(err)
	}
	for _, c := range []*kafkatest.Conn{idle, a, b} {
		if err := c.WaitClosed(); err != nil {
			t.Error(err)
		}
	}
	s.wantClosed(serverShutdown, 3)
	if ids := map[int64]bool{<-closed: true, <-closed: true, <-closed: true}; !ids[1] || !ids[2] || !ids[3] {
		t.Errorf("closed connections %v", ids)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("the listener is still open")
	}
}

func TestShutdownCutsOffAClientThatDoesNotRead(t *testing.T) {
	t.Parallel() // it waits
	s := start(t, options{APIs: echoAPIs()}, 0)
	c := s.dial()
	b := kafkatest.AppendRequest(nil, metadataRequest(12, strings.Repeat("t", 249)), 1, c.ClientID)
	c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	for err := error(nil); err == nil; {
		_, err = c.Write(b) // until both directions are full
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestShutdownReportsHandlersThatDoNotReturn(t *testing.T) {
	t.Parallel() // it waits
	entered, release := make(chan struct{}), make(chan struct{})
	apis := append(echoAPIs(), row{Key: 12, Min: 0, Max: 4, Handle: func(_ context.Context, r *Request) Reply {
		close(entered)
		<-release
		return empty(t.Context(), r)
	}})
	s := start(t, options{APIs: apis}, 0)
	c := s.dial()
	if _, err := c.Send(kmsg.NewPtrHeartbeatRequest()); err != nil {
		t.Fatal(err)
	}
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	close(release)
}

// A broker that is stopped at once starts to serve a listener that its end has already closed.
func TestServeAfterShutdownIsNoFailure(t *testing.T) {
	for _, closed := range []bool{false, true} {
		s, l := mustServer(t, options{APIs: echoAPIs()}), listen(t)
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if closed {
			l.Close()
		}
		if err := s.Serve(l, nil); err != nil {
			t.Errorf("listener closed before: %v; serve: %v", closed, err)
		}
		if err := l.Close(); err == nil {
			t.Errorf("listener closed before: %v; Serve left it open", closed)
		}
	}
}
