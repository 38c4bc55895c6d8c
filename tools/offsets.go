package tools

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// Times of ListOffsets that have a name.
const (
	latestTime       = -1
	earliestTime     = -2
	maxTimestampTime = -3
	earliestLocal    = -4
	latestTiered     = -5
	earliestPending  = -6
)

var timeNames = map[string]int64{
	"latest": latestTime, "earliest": earliestTime, "max-timestamp": maxTimestampTime,
	"earliest-local": earliestLocal, "latest-tiered": latestTiered, "earliest-pending-upload": earliestPending,
}

func offsetsCommand(e *env) *cobra.Command {
	var topic, list, partitions, at string
	var excludeInternal bool
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.StringVar(&topic, "topic", "", "a regular expression for `topics`")
	f.StringVar(&list, "topic-partitions", "", "`TOPIC:PARTITION,TOPIC:FROM-TO,…`; TO is not included")
	f.StringVar(&partitions, "partitions", "", "numbers of partitions, with commas; all without it")
	f.StringVar(&at, "time", "latest", "`earliest, latest, max-timestamp` or milliseconds since 1970")
	f.BoolVar(&excludeInternal, "exclude-internal-topics", false, "leave out internal topics")
	// Kafka's tool took it in earlier versions.
	f.StringVar(&e.connection.controllers, "broker-list", "", "the same as --bootstrap-server")
	c.RunE = func(c *cobra.Command, _ []string) error {
		timestamp, named := timeNames[at]
		if !named {
			n, err := strconv.ParseInt(at, 10, 64)
			if err != nil {
				return e.fail("Error occurred: Malformed time argument %s. Please use -1 or latest / -2 or earliest / -3 or "+
					"max-timestamp / "+
					"-4 or earliest-local / -5 or latest-tiered / -6 or earliest-pending-upload, or a specified long format timestamp",
					at)
			}
			timestamp = n
		}
		if list != "" && (topic != "" || partitions != "") {
			return e.fail("Error occurred: --topic-partitions cannot be used with --topic or --partitions")
		}
		wanted, err := wantedPartitions(topic, list, partitions)
		if err != nil {
			return err
		}
		return e.offsets(c.Context(), wanted, timestamp, excludeInternal)
	}
	return c
}

// wantedPartitions returns whether a partition is meant by the options.
func wantedPartitions(topic, list, partitions string) (func(topic string, partition int32) bool, error) {
	if list == "" {
		list = topic + ":"
		if strings.Trim(partitions, "0123456789, ") != "" {
			return nil, say("Error occurred: --partitions expects a comma separated list of numeric partition ids, but "+
				"received: %s", partitions)
		}
		if partitions != "" {
			list = topic + ":" + strings.Join(strings.Split(partitions, ","), ","+topic+":")
		}
	}
	type rule struct {
		topics   patterns
		from, to int64
	}
	var rules []rule
	for _, entry := range strings.Split(list, ",") {
		name, span, _ := strings.Cut(entry, ":")
		p, err := topicPatterns(name)
		if err != nil {
			return nil, err
		}
		r := rule{topics: p, from: 0, to: 1 << 31}
		if span != "" {
			from, to, isRange := strings.Cut(span, "-")
			var errFrom, errTo error
			if from != "" {
				r.from, errFrom = strconv.ParseInt(from, 10, 32)
			}
			switch {
			case !isRange:
				r.to = r.from + 1
			case to != "":
				r.to, errTo = strconv.ParseInt(to, 10, 32)
			}
			if errFrom != nil || errTo != nil {
				return nil, say("Error occurred: Invalid rule specification: %s", entry)
			}
		}
		rules = append(rules, r)
	}
	return func(topic string, partition int32) bool {
		for _, r := range rules {
			if r.topics.match(topic) && int64(partition) >= r.from && int64(partition) < r.to {
				return true
			}
		}
		return false
	}, nil
}

func (e *env) offsets(ctx context.Context, wanted func(string, int32) bool, timestamp int64,
	excludeInternal bool) error {
	ctx, admin, done, err := e.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	metadata, err := admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return err
	}
	var topics []string
	for _, t := range metadata.Sorted() {
		if excludeInternal && t.IsInternal {
			continue
		}
		for p := range t.Partitions {
			if wanted(t.Topic, p) {
				topics = append(topics, t.Topic)
				break
			}
		}
	}
	if len(topics) == 0 {
		return e.fail("Error occurred: Could not match any topic-partitions with the specified filters")
	}
	listed, err := listOffsets(ctx, admin, timestamp, topics)
	if err != nil {
		return err
	}
	var lines []kadm.ListedOffset
	listed.Each(func(o kadm.ListedOffset) {
		if wanted(o.Topic, o.Partition) {
			lines = append(lines, o)
		}
	})
	sort.Slice(lines, func(i, j int) bool {
		if lines[i].Topic != lines[j].Topic {
			return lines[i].Topic < lines[j].Topic
		}
		return lines[i].Partition < lines[j].Partition
	})
	for _, o := range lines {
		switch {
		case o.Err != nil:
			fmt.Fprintf(e.stderr, "Skip getting offsets for topic-partition %s-%d due to error: %s\n", o.Topic, o.Partition,
				reason(o.Err, ""))
		case o.Offset < 0 || timestamp >= 0 && o.Timestamp < 0: // there is no such offset
		default:
			e.print("%s:%d:%d\n", o.Topic, o.Partition, o.Offset)
		}
	}
	return nil
}

func listOffsets(ctx context.Context, admin *kadm.Client, timestamp int64,
	topics []string) (kadm.ListedOffsets, error) {
	switch timestamp {
	case latestTime:
		return admin.ListEndOffsets(ctx, topics...)
	case earliestTime:
		return admin.ListStartOffsets(ctx, topics...)
	case maxTimestampTime:
		return admin.ListMaxTimestampOffsets(ctx, topics...)
	case earliestLocal:
		return admin.ListLocalLogStartOffsets(ctx, topics...)
	case latestTiered:
		return admin.ListLatestRemoteOffsets(ctx, topics...)
	}
	return admin.ListOffsetsAfterMilli(ctx, timestamp, topics...)
}
