package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/wire"
)

const (
	// closed and noAnswer stand for an answer that there is not.
	closed   = "closed"
	noAnswer = "no answer"
	// retryPause is how long a request rests that is asked again, retryLimit how long it is.
	retryPause, retryLimit = 2 * time.Millisecond, 4 * time.Second
)

// side is one of the two brokers in a sequence.
type side struct {
	*names
	addr string
	conn *kafkatest.Conn
}

func (s *side) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// request sends a request and returns the answer.
func (s *side) request(r kmsg.Request) (kmsg.Response, error) {
	if s.conn == nil {
		conn, err := kafkatest.Dial(s.addr)
		if err != nil {
			return nil, err
		}
		s.conn = conn
	}
	resp, err := s.conn.Request(r)
	if err != nil {
		s.close()
	}
	return resp, err
}

// ask sends what a step says and returns the answer and its text.
func (s *side) ask(step Step) (kmsg.Response, string) {
	if step.Topic != "" {
		return s.createTopic(step.Topic+s.suffix, step.Partitions)
	}
	r := kmsg.RequestForKey(int16(step.API))
	r.SetVersion(step.Version)
	if err := kafkatest.Fill(r, step.body(), s.setText); err != nil {
		return nil, "cannot be asked: " + err.Error() // what it refers to does not exist: on neither side
	}
	for deadline := time.Now().Add(retryLimit); ; time.Sleep(retryPause) {
		resp, err := s.request(r)
		text := s.textOf(step, resp, err)
		again := strings.Contains(text, wire.ConcurrentTransactions.String()) ||
			step.Until != "" && !strings.Contains(text, step.Until) || step.While != "" && strings.Contains(text, step.While)
		if !again || time.Now().After(deadline) {
			if step.Metadata {
				s.awaitMetadata()
			}
			return resp, text
		}
	}
}

// textOf is what is compared of an answer.
func (s *side) textOf(step Step, resp kmsg.Response, err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return noAnswer
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return closed
	case err != nil:
		return err.Error()
	}
	if step.Member != "" {
		if id := reflect.ValueOf(resp).Elem().FieldByName("MemberID").String(); id != "" {
			s.members[step.Member] = id
		}
	}
	value := s.value
	if step.Sizes {
		value = func(name string, v reflect.Value) (string, bool) {
			if name == "Partitions" {
				return fmt.Sprintf("[%d]", v.Len()), true
			}
			return s.value(name, v)
		}
	}
	text := kafkatest.Text{
		Hide: step.Hide, Having: step.Having, Sorted: !step.InOrder, Messages: true, Value: value,
	}
	return text.Of(resp)
}

// createTopic makes a topic and waits until all its partitions answer, which takes Kafka a while.
func (s *side) createTopic(name string, partitions int32) (kmsg.Response, string) {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version = 7
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
	r.Topics = append(r.Topics, t)
	resp, err := s.request(r)
	if err != nil {
		return nil, err.Error()
	}
	created := resp.(*kmsg.CreateTopicsResponse).Topics[0]
	s.topics[name] = created.TopicID
	if created.ErrorCode == 0 {
		err = s.awaitLeaders(name, partitions)
	}
	if err != nil {
		return nil, err.Error()
	}
	text, _ := s.value("ErrorCode", reflect.ValueOf(created.ErrorCode))
	return resp, text
}

func (s *side) awaitLeaders(topic string, partitions int32) error {
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version, r.ReplicaID = 7, -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = i, -1
		t.Partitions = append(t.Partitions, p)
	}
	r.Topics = append(r.Topics, t)
	for deadline := time.Now().Add(retryLimit); time.Now().Before(deadline); time.Sleep(retryPause) {
		resp, err := s.request(r)
		if err != nil {
			return err
		}
		missing := 0
		for _, p := range resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
			missing += int(p.ErrorCode)
		}
		if missing == 0 {
			return nil
		}
	}
	return fmt.Errorf("topic %s has no leaders", topic)
}

// awaitMetadata waits until the broker knows what its controller has decided: the epoch of its features is the offset
// up to which it has read the metadata.
func (s *side) awaitMetadata() {
	quorum := kmsg.NewPtrDescribeQuorumRequest()
	quorum.Topics = []kmsg.DescribeQuorumRequestTopic{{
		Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}},
	}}
	resp, err := s.request(quorum)
	if err != nil {
		return
	}
	end := resp.(*kmsg.DescribeQuorumResponse).Topics[0].Partitions[0].HighWatermark
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.Version, versions.ClientSoftwareName, versions.ClientSoftwareVersion = 3, "differential", "1"
	for deadline := time.Now().Add(retryLimit); time.Now().Before(deadline); time.Sleep(retryPause) {
		resp, err := s.request(versions)
		if err != nil || resp.(*kmsg.ApiVersionsResponse).FinalizedFeaturesEpoch >= end-1 {
			return
		}
	}
}

// deleteTopics ends a sequence.
func (s *side) deleteTopics() {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Version, r.TimeoutMillis = 5, 10_000
	for name := range s.topics {
		r.TopicNames = append(r.TopicNames, name)
	}
	if len(r.TopicNames) > 0 {
		_, _ = s.request(r) // what stays behind disturbs nothing
	}
}
