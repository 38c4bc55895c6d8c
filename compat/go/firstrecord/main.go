// Command firstrecord measures how long a broker takes from its start to the first record that a client reads back:
//
//	firstrecord [-after] HOST:PORT COMMAND [ARGUMENTS…]
//
// It starts the command, and meanwhile tries to write a record to a topic that does not exist yet, again and again.
// When it has read the record, it prints the time in milliseconds since it called the command, and the time of day. A
// command that goes on running, such as a broker in the foreground, is ended then.
//
// With -after it begins to try when the command has ended, as for `docker start`. Docker's port proxy accepts
// connections half a second before it starts the process, and tries to hand them to a network that is not there yet.
// The first try is lost, and the kernel makes the next one a second later: a client that is too early measures that
// second.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	patience = time.Minute
	pause    = 2 * time.Millisecond // between attempts
)

func main() {
	after := flag.Bool("after", false, "begin when the command has ended")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: firstrecord [-after] HOST:PORT COMMAND [ARGUMENTS…]") }
	flag.Parse()
	if flag.NArg() < 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Args()[1:], *after); err != nil {
		fmt.Fprintln(os.Stderr, "firstrecord:", err)
		os.Exit(1)
	}
}

func run(address string, command []string, after bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	if after {
		if err := c.Run(); err != nil {
			return err
		}
	} else {
		if err := c.Start(); err != nil {
			return err
		}
		defer func() {
			cancel() // ends a broker in the foreground
			_ = c.Wait()
		}()
	}
	if err := firstRecord(ctx, address); err != nil {
		return err
	}
	end := time.Now()
	fmt.Printf("took_ms=%.1f at_ms=%d\n", float64(end.Sub(began).Microseconds())/1000, end.UnixMilli())
	return nil
}

// firstRecord writes and reads one record.
func firstRecord(ctx context.Context, address string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.AllowAutoTopicCreation(), kgo.ConsumeTopics("first"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(10*time.Millisecond),
		kgo.UnknownTopicRetries(-1),
		kgo.RetryBackoffFn(func(int) time.Duration { return pause }), kgo.DialTimeout(time.Second), kgo.RequestRetries(1<<20))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "first", Value: []byte("hello")}).FirstErr(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if fetches := client.PollFetches(ctx); fetches.NumRecords() > 0 {
			return nil
		}
	}
	return ctx.Err()
}
