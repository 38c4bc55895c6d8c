package broker

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
)

// What fails while the broker starts is the error of the start, and nobody closes what is still being opened.
func TestFailureWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Broker{cfg: Config{Logger: slog.New(slog.DiscardHandler)}, done: make(chan struct{})}
		cause := errors.New("sync of meta.db")
		b.fail(cause)
		b.fail(errors.New("what follows from it"))
		synctest.Wait()
		select {
		case <-b.Done():
			t.Error("it was closed while it was opened")
		default:
		}
		if err := b.endStart(); !errors.Is(err, cause) || !errors.Is(err, ErrStorage) {
			t.Errorf("the start ends with %v", err)
		}
	})
}

func TestFailureOfARunningBrokerClosesIt(t *testing.T) {
	b := &Broker{cfg: Config{Logger: slog.New(slog.DiscardHandler)}, done: make(chan struct{})}
	if err := b.endStart(); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("sync of meta.db")
	b.fail(cause)
	<-b.Done()
	if !errors.Is(b.Err(), cause) || !errors.Is(b.Err(), ErrStorage) {
		t.Errorf("it ended with %v", b.Err())
	}
}
