// Command members is a member of a share group, sharers, and one of a streams group, counters, until its input ends. It
// is for checks of what shows groups, and reads no records:
//
//	go run ./members -broker 127.0.0.1:9092 -topic orders
//
// It prints one line when both have their partitions.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var (
	broker = flag.String("broker", "127.0.0.1:9092", "bootstrap address")
	topic  = flag.String("topic", "orders", "that both groups read")
)

const (
	heartbeats = time.Second // between two of a member
	patience   = 30 * time.Second
)

func main() {
	flag.Parse()
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "members:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	socket, err := net.Dial("tcp", *broker)
	if err != nil {
		return err
	}
	defer socket.Close()
	c := &conn{socket: socket}
	share, streams := sharer(), counter()
	limit := time.Now().Add(patience)
	for ready := false; ; {
		shared, err := share(c)
		if err != nil {
			return err
		}
		counted, err := streams(c)
		if err != nil {
			return err
		}
		if !ready && shared && counted {
			ready = true
			fmt.Println("ready")
		}
		if !ready && time.Now().After(limit) {
			return fmt.Errorf("no partitions after %s", patience)
		}
		timer := time.NewTimer(heartbeats)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// conn is a connection that sends one request at a time: no client has both kinds of groups.
type conn struct {
	socket        net.Conn
	correlationID int32
}

// ask sends a request of a flexible version, and reads its answer.
func (c *conn) ask(r kmsg.Request, version int16, into kmsg.Response) error {
	r.SetVersion(version)
	into.SetVersion(version)
	c.correlationID++
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID("members"))
	_ = c.socket.SetDeadline(time.Now().Add(patience))
	if _, err := c.socket.Write(formatter.AppendRequest(nil, r, c.correlationID)); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.socket, size[:]); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.socket, body); err != nil {
		return err
	}
	const header = 5 // the correlation ID and no tagged field
	if len(body) < header {
		return io.ErrUnexpectedEOF
	}
	return into.ReadFrom(body[header:])
}

// heartbeat sends one heartbeat of a member, and says whether it has partitions.
type heartbeat func(c *conn) (assigned bool, err error)

func sharer() heartbeat {
	assigned, epoch := false, int32(0)
	return func(c *conn) (bool, error) {
		r := kmsg.NewPtrShareGroupHeartbeatRequest()
		r.GroupID, r.MemberID, r.MemberEpoch, r.SubscribedTopicNames = "sharers", "share-member-1", epoch, []string{*topic}
		answer := kmsg.NewPtrShareGroupHeartbeatResponse()
		if err := c.ask(r, 1, answer); err != nil || answer.ErrorCode != 0 {
			return false, fmt.Errorf("share group: %v, code %d", err, answer.ErrorCode)
		}
		epoch = answer.MemberEpoch
		assigned = assigned || answer.Assignment != nil && len(answer.Assignment.TopicPartitions) > 0
		return assigned, nil
	}
}

func counter() heartbeat {
	assigned, epoch := false, int32(0)
	return func(c *conn) (bool, error) {
		r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
		r.Group, r.MemberID, r.MemberEpoch = "counters", "streams-member-1", epoch
		if epoch == 0 {
			r.RebalanceTimeoutMillis, r.ProcessID = 60_000, kmsg.StringPtr("process")
			r.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Epoch: 1,
				Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{
					{SubtopologyID: "0", SourceTopics: []string{*topic}}}}
			r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
		}
		answer := kmsg.NewPtrStreamsGroupHeartbeatResponse()
		if err := c.ask(r, 0, answer); err != nil || answer.ErrorCode != 0 {
			return false, fmt.Errorf("streams group: %v, code %d", err, answer.ErrorCode)
		}
		epoch = answer.MemberEpoch
		assigned = assigned || len(answer.ActiveTasks) > 0
		return assigned, nil
	}
}
