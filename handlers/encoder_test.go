package handlers

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log"
)

// lengths are those at which a varint takes one byte more, and the ones around them.
var lengths = []int{0, 1, 125, 126, 127, 128, 16381, 16382, 16383, 16384, 32766, 32767}

// TestStringsOfAnyLengthAreEncodedAsKmsgDoes compares our own layout with that of kmsg for strings and arrays of
// each length at which something changes.
func TestStringsOfAnyLengthAreEncodedAsKmsgDoes(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		for _, n := range lengths {
			r := kmsg.NewPtrProduceResponse()
			r.Version, r.ThrottleMillis = version, math.MinInt32
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic = strings.Repeat("t", n)
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.BaseOffset, p.LogAppendTime = math.MaxInt32, math.MaxInt64, math.MinInt64
			p.ErrorMessage = kmsg.StringPtr(strings.Repeat("m", n))
			p.ErrorRecords = make([]kmsg.ProduceResponseTopicPartitionErrorRecord, n)
			topic.Partitions = []kmsg.ProduceResponseTopicPartition{p}
			r.Topics = append(r.Topics, topic)
			if got, want := (produceResponse{r}).AppendTo([]byte("head")),
				r.AppendTo([]byte("head")); !bytes.Equal(got, want) {
				t.Errorf("v%d, length %d: %d bytes, want %d", version, n, len(got), len(want))
			}
		}
	}
}

// TestFetchResponseOutgrowsItsBuffer compares the layout of responses that are much longer than the buffer which they
// are begun in, and the places where the records belong.
func TestFetchResponseOutgrowsItsBuffer(t *testing.T) {
	var want []byte
	for version := int16(4); version <= 18; version++ {
		for _, aborted := range lengths[:9] {
			r := kmsg.NewPtrFetchResponse()
			r.Version = version
			var ours fetchResponse
			for i := range 3 {
				topic := kmsg.NewFetchResponseTopic()
				topic.Topic, topic.TopicID = strings.Repeat("t", 249), [16]byte{byte(i + 1)}
				for j := range 2 {
					p := kmsg.NewFetchResponseTopicPartition()
					p.Partition, p.RecordBatches = int32(j), []byte{}
					p.AbortedTransactions = make([]kmsg.FetchResponseTopicPartitionAbortedTransaction, aborted)
					for k := range p.AbortedTransactions {
						p.AbortedTransactions[k].ProducerID, p.AbortedTransactions[k].FirstOffset = int64(k),
							math.MaxInt64-int64(k)
					}
					topic.Partitions = append(topic.Partitions, p)
				}
				r.Topics = append(r.Topics, topic)
			}
			ours.FetchResponse, ours.slices = r, make([]log.Slice, 6)
			want = r.AppendTo(want[:0])
			if size := ours.SizeBytes(); size != len(want) || !bytes.Equal(ours.head, want) {
				t.Fatalf("v%d, %d aborted: %d bytes, want %d", version, aborted, size, len(want))
			}
			if room := fetchHeadBytes + 6*fetchPartitionBytes; aborted > 100 && len(want) < 10*room {
				t.Fatalf("%d bytes do not outgrow %d", len(want), room)
			}
			for i, cut := range ours.cuts {
				// Behind each cut, before the next partition, stands at most an empty tag buffer or two.
				if length := ours.head[cut-1]; version >= 12 && length != 1 || version < 12 && length != 0 {
					t.Errorf("v%d, partition %d: the length before the cut ends with %d", version, i, length)
				}
			}
		}
	}
}

// A message of any length is cut at a character, and a short one is as it was.
func TestErrorMessagesAreCutAtACharacter(t *testing.T) {
	for _, c := range []string{"m", "é", "漢", "😀", "\x80"} {
		for n := maxErrorMessageBytes - 5; n < maxErrorMessageBytes+6; n++ {
			message := strings.Repeat("m", n%len(c)) + strings.Repeat(c, n/len(c))
			got := *errorMessage(message)
			switch {
			case len(got) > maxErrorMessageBytes || !strings.HasPrefix(message, got):
				t.Errorf("%d bytes of %q became %d", len(message), c, len(got))
			case len(message) <= maxErrorMessageBytes && got != message:
				t.Errorf("%d bytes of %q were cut to %d", len(message), c, len(got))
			case utf8.ValidString(message) && (!utf8.ValidString(got) ||
				len(got) < min(len(message), maxErrorMessageBytes)-utf8.UTFMax+1):
				t.Errorf("%d bytes of %q were cut to %d, %s", len(message), c, len(got),
					fmt.Sprintf("%q", got[max(0, len(got)-4):]))
			}
		}
	}
	if *errorMessage("") != "" {
		t.Error("an empty message")
	}
}
