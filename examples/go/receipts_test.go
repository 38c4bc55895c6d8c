package receipts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/kafka"
	"github.com/twmb/franz-go/pkg/kgo"
)

// startBroker starts a broker for this test, and returns its address.
func startBroker(t *testing.T) string {
	t.Helper()
	container, err := kafka.Run(t.Context(), cmp.Or(os.Getenv("ONCE_IMAGE"), "once:8.1.0"))
	testcontainers.CleanupContainer(t, container)
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := container.Brokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
}

func TestEachPaymentGetsOneReceipt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	address := startBroker(t)
	produce(t, ctx, address, "payments", "10", "20", "30")

	session, err := Open(address, "receipts-1")
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	fails := true // once, when receipts of the same transaction have been sent already
	write := func(payment *kgo.Record) (*kgo.Record, error) {
		if fails && string(payment.Value) == "30" {
			fails = false
			return nil, errors.New("the printer is out of paper")
		}
		return &kgo.Record{Topic: "receipts", Value: fmt.Appendf(nil, "received %s", payment.Value)}, nil
	}
	for done := 0; done < 3; {
		n, err := Step(ctx, session, write)
		if err != nil {
			t.Fatal(err)
		}
		done += n
	}
	if fails {
		t.Error("nothing has failed on the way")
	}

	produce(t, ctx, address, "receipts", "end")
	want := []string{"received 10", "received 20", "received 30", "end"}
	if got := readUntil(t, ctx, address, "receipts", "end"); !slices.Equal(got, want) {
		t.Errorf("receipts: %q, want %q", got, want)
	}
}

func produce(t *testing.T, ctx context.Context, address, topic string, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, value := range values {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// readUntil reads what is committed in a topic, from its beginning to the record with this value.
func readUntil(t *testing.T, ctx context.Context, address, topic, last string) (values []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for !slices.Contains(values, last) {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("read %q, then: %v", values, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}
