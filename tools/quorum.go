package tools

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadataTopic is the topic whose replicas are the quorum.
const metadataTopic = "__cluster_metadata"

// quorumCommand is kafka-metadata-quorum.
func quorumCommand(e *env) *cobra.Command {
	c := &cobra.Command{Args: cobra.ArbitraryArgs}
	e.connection.flags(c.PersistentFlags())
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return say("a command is missing: describe")
		}
		return say("%s is not built here; use kafka-metadata-quorum.sh of Apache Kafka", args[0])
	}
	c.AddCommand(describeQuorum(e))
	return c
}

func describeQuorum(e *env) *cobra.Command {
	var status, replication, humanReadable bool
	c := &cobra.Command{Use: "describe", Short: "Describe the metadata quorum"}
	c.Flags().BoolVar(&status, "status", false, "a summary")
	c.Flags().BoolVar(&replication, "replication", false, "each replica")
	c.Flags().BoolVar(&humanReadable, "human-readable", false, "times as so long ago, with --replication")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case status && replication:
			return e.fail("Only one of --status or --replication should be specified with describe sub-command")
		case !status && !replication:
			return e.fail("One of --status or --replication must be specified with describe sub-command")
		case status && humanReadable:
			return e.fail("The option --human-readable is only supported along with --replication")
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			q, err := askQuorum(ctx, client)
			if err != nil {
				return err
			}
			if replication {
				q.printReplicas(e, humanReadable)
				return nil
			}
			metadata, err := kadm.NewClient(client).BrokerMetadata(ctx)
			if err != nil {
				return err
			}
			q.printStatus(e, metadata.Cluster)
			return nil
		})
	}
	return c
}

// quorum is the answer to DescribeQuorum.
type quorum struct {
	kmsg.DescribeQuorumResponseTopicPartition
	nodes []kmsg.DescribeQuorumResponseNode
}

type replica = kmsg.DescribeQuorumResponseTopicPartitionReplicaState

func askQuorum(ctx context.Context, client *kgo.Client) (quorum, error) {
	request := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = metadataTopic
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return quorum{}, err
	}
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return quorum{}, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return quorum{}, fmt.Errorf("the answer has not one partition of %s", metadataTopic)
	}
	p := response.Topics[0].Partitions[0]
	return quorum{p, response.Nodes}, kerr.ErrorForCode(p.ErrorCode)
}

// leader returns the replica that leads, and the zero value where the answer has none.
func (q quorum) leader() replica {
	for _, r := range q.CurrentVoters {
		if r.ReplicaID == q.LeaderID {
			return r
		}
	}
	return replica{}
}

// lag returns how far the last of the voters is behind the leader, in records and milliseconds; -1 where it is not
// known.
func (q quorum) lag() (records, ms int64) {
	leader := q.leader()
	last := leader
	for _, r := range q.CurrentVoters {
		if r.LogEndOffset < last.LogEndOffset {
			last = r
		}
	}
	switch {
	case last.ReplicaID == leader.ReplicaID:
	case leader.LastCaughtUpTimestamp < 0 || last.LastCaughtUpTimestamp < 0:
		ms = -1
	default:
		ms = leader.LastCaughtUpTimestamp - last.LastCaughtUpTimestamp
	}
	return leader.LogEndOffset - last.LogEndOffset, ms
}

func (q quorum) printStatus(e *env, clusterID string) {
	lag, lagMs := q.lag()
	for _, line := range []struct{ name, value string }{
		{"ClusterId", clusterID},
		{"LeaderId", strconv.Itoa(int(q.LeaderID))},
		{"LeaderEpoch", strconv.Itoa(int(q.LeaderEpoch))},
		{"HighWatermark", strconv.FormatInt(q.HighWatermark, 10)},
		{"MaxFollowerLag", strconv.FormatInt(lag, 10)},
		{"MaxFollowerLagTimeMs", strconv.FormatInt(lagMs, 10)},
		{"CurrentVoters", q.list(q.CurrentVoters)},
		{"CurrentObservers", q.list(q.Observers)},
	} {
		e.print("%-23s %s\n", line.name+":", line.value)
	}
}

func (q quorum) list(replicas []replica) string {
	var all []string
	for _, r := range replicas {
		text := fmt.Sprintf(`{"id": %d`, r.ReplicaID)
		if r.ReplicaDirectoryID != [16]byte{} {
			text += fmt.Sprintf(`, "directoryId": "%s"`, directoryID(r))
		}
		var endpoints []string
		for _, n := range q.nodes {
			if n.NodeID != r.ReplicaID {
				continue
			}
			for _, l := range n.Listeners {
				endpoints = append(endpoints, fmt.Sprintf(`"%s://%s:%d"`, l.Name, l.Host, l.Port))
			}
		}
		if len(endpoints) > 0 {
			text += `, "endpoints": [` + strings.Join(endpoints, ", ") + "]"
		}
		all = append(all, text+"}")
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func directoryID(r replica) string {
	return base64.RawURLEncoding.EncodeToString(r.ReplicaDirectoryID[:])
}

func (q quorum) printReplicas(e *env, humanReadable bool) {
	now, leader := time.Now().UnixMilli(), q.leader()
	at := func(ms int64) string {
		switch {
		case ms < 0 && humanReadable:
			return "unknown"
		case humanReadable:
			return fmt.Sprintf("%d ms ago", now-ms)
		default:
			return strconv.FormatInt(ms, 10)
		}
	}
	var rows [][]string
	add := func(r replica, status string) {
		rows = append(rows, []string{strconv.Itoa(int(r.ReplicaID)), directoryID(r), strconv.FormatInt(r.LogEndOffset, 10),
			strconv.FormatInt(leader.LogEndOffset-r.LogEndOffset, 10), at(r.LastFetchTimestamp), at(r.LastCaughtUpTimestamp),
			status})
	}
	add(leader, "Leader")
	for _, r := range q.CurrentVoters {
		if r.ReplicaID != q.LeaderID {
			add(r, "Follower")
		}
	}
	for _, r := range q.Observers {
		add(r, "Observer")
	}
	printTable(e.stdout, []string{"NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp",
		"LastCaughtUpTimestamp", "Status"}, rows)
}
