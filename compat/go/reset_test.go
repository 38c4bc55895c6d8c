package compat

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"once/broker"
	"once/broker/brokertest"
)

// A reset between two tests leaves clients that live with what a deleted topic gives them: a producer's record is
// refused, and the consumer gets nothing. Told that the topic is another one, as franz-go wants it of a topic that is
// deleted and created again, both go on with it when the next test has made it, and nothing comes back of the one
// before.
func TestFranzGoesOnAfterAReset(t *testing.T) {
	ctx := within(t)
	b := brokertest.Start(t, brokertest.WithMemory, func(c *broker.Config) { c.Admin = "127.0.0.1:0" })
	producer, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("orders"),
		kgo.UnknownTopicRetries(1),
		kgo.MetadataMinAge(10*time.Millisecond))
	must(t, err)
	defer producer.Close()
	consumer, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"),
		kgo.MetadataMinAge(10*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(t, err)
	defer consumer.Close()
	for _, values := range [][]string{{"a", "b"}, {"c"}, {"d", "e", "f"}} {
		_, err := kadm.NewClient(producer).CreateTopic(ctx, 1, 1, nil, "orders")
		must(t, err)
		for _, v := range values {
			for { // a client that has just seen that the topic is unknown may say so once more
				err := producer.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr()
				if err == nil {
					break
				}
				if ctx.Err() != nil || !isUnknownTopic(err) {
					t.Fatal(err)
				}
			}
		}
		if got := pollValues(t, consumer, len(values)); !slices.Equal(got, values) {
			t.Errorf("read %q, want %q", got, values)
		}
		answer, err := http.Post("http://"+b.AdminAddr()+"/v1/reset", "", nil)
		must(t, err)
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", answer.Status, text)
		}
		if err := producer.ProduceSync(ctx, kgo.StringRecord("into nothing")).FirstErr(); !isUnknownTopic(err) {
			t.Errorf("a record for a topic that is gone: %v", err)
		}
		producer.PurgeTopicsFromClient("orders")
		consumer.PurgeTopicsFromClient("orders")
		consumer.AddConsumeTopics("orders")
	}
}

func isUnknownTopic(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}

// pollValues polls until there are so many values; errors of topics that are unknown for a while are passed over.
func pollValues(t *testing.T, cl *kgo.Client, n int) (got []string) {
	t.Helper()
	ctx := within(t)
	for len(got) < n && ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got
}
