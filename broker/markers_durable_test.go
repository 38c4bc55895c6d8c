package broker_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/vfs"
)

// gate is a file system whose syncs wait while it is closed.
type gate struct {
	vfs.FS
	closed  atomic.Pointer[chan struct{}]
	entered chan struct{} // a sync waits
}

func (g *gate) OpenFileSystem(string) (vfs.FileSystem, error) { return nil, errors.ErrUnsupported }

func (g *gate) Create(name string) (vfs.File, error) {
	f, err := g.FS.Create(name)
	return gateFile{f, g}, err
}

type gateFile struct {
	vfs.File
	gate *gate
}

func (f gateFile) Sync() error {
	if closed := f.gate.closed.Load(); closed != nil {
		select {
		case f.gate.entered <- struct{}{}:
		default:
		}
		<-*closed
	}
	return f.File.Sync()
}

// In fsync the markers that an administrator writes are on the disk before the answer (spec: reliability 2.1).
func TestMarkersOfAnAdministratorAreDurableInFsync(t *testing.T) {
	g := &gate{FS: vfs.OS, entered: make(chan struct{}, 1)}
	b := brokertest.Start(t, func(c *broker.Config) { c.FS, c.Durability = g, "fsync" })
	c, other := connected(t, b, "kafkatest"), connected(t, b, "kafkatest")
	c.createTopic("x", 1, nil)
	p := c.producer("mover", false)
	p.produce("x", "x", 0)

	r := kmsg.NewPtrWriteTxnMarkersRequest()
	r.Version = 1
	r.Markers = []kmsg.WriteTxnMarkersRequestMarker{{ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch,
		CoordinatorEpoch: 1,
		Topics:           []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "x", Partitions: []int32{0}}}}}
	opened, answered := make(chan struct{}), make(chan error, 1)
	g.closed.Store(&opened)
	go func() {
		resp, err := c.once(r)
		if err == nil {
			if code := resp.(*kmsg.WriteTxnMarkersResponse).Markers[0].Topics[0].Partitions[0].ErrorCode; code != 0 {
				err = errors.New("refused")
			}
		}
		answered <- err
	}()
	<-g.entered
	for range 50 { // as long as another client is answered so often, this one is not
		if got := other.Answer(kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse).ErrorCode; got != 0 {
			t.Fatal(code(got))
		}
	}
	select {
	case <-answered:
		t.Error("answered before the disk was")
		answered <- nil
	default:
	}
	g.closed.Store(nil)
	close(opened)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
