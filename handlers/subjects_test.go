package handlers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/script"
	"once/topics"
	"once/wire"
)

// TestSubjects shows what requests of every API that has subjects are about, in every version: testdata/subjects.txt.
// The input of a command is the request as JSON, with the fields of all versions. Topics a and b exist.
func TestSubjects(t *testing.T) {
	s := newServices(t, &blocks{})
	ids := map[string][16]byte{}
	for _, name := range []string{"a", "b"} {
		topic, err := s.Topics.Create(topics.Spec{Name: name, Partitions: 1})
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = topic.ID
	}
	shown := map[kmsg.Key]bool{}
	script.Run(t, "testdata/subjects.txt", func(t *testing.T, c script.Command) string {
		row := s.row(c.Args[0].Name)
		if row == nil || row.subjects == nil {
			t.Fatalf("%s: no API that has subjects", c.Pos)
		}
		key := kmsg.Key(row.Key)
		shown[key] = true
		return byVersions(row, func(version int16) string {
			request := requestOf(t, c, key, version, ids)
			return subjectsText(row.subjects(s.Catalogue, &wire.Request{Key: row.Key, Version: version, Body: request}), ids)
		})
	})
	for _, row := range rows() {
		key := kmsg.Key(row.Key)
		if hasSubjects := !slices.Contains(aboutNothing, key); hasSubjects != (row.subjects != nil) {
			t.Errorf("%s has subjects: %v", key.Name(), row.subjects != nil)
		} else if hasSubjects && !shown[key] {
			t.Errorf("%s has no case", key.Name())
		}
	}
}

// aboutNothing are the APIs that are about the cluster as a whole, or the connection.
var aboutNothing = []kmsg.Key{
	kmsg.ListGroups, kmsg.SASLHandshake, kmsg.ApiVersions, kmsg.DescribeACLs, kmsg.CreateACLs, kmsg.DeleteACLs,
	kmsg.SASLAuthenticate, kmsg.CreateDelegationToken, kmsg.RenewDelegationToken, kmsg.ExpireDelegationToken,
	kmsg.DescribeDelegationToken, kmsg.DescribeClientQuotas, kmsg.DescribeUserSCRAMCredentials, kmsg.DescribeQuorum,
	kmsg.DescribeCluster, kmsg.ListTransactions, kmsg.ListConfigResources, kmsg.UnregisterController,
	kmsg.AlterClientQuotas, kmsg.AlterUserSCRAMCredentials, kmsg.UpdateFeatures, kmsg.DescribeLogDirs,
	kmsg.ListPartitionReassignments, kmsg.UnregisterBroker, kmsg.AddRaftVoter, kmsg.RemoveRaftVoter,
	kmsg.GetTelemetrySubscriptions, kmsg.PushTelemetry,
}

func subjectsText(s Subjects, ids map[string][16]byte) string {
	var lines []string
	if s.AllTopics {
		lines = append(lines, "all topics")
	}
	for _, topic := range s.Topics {
		line := fmt.Sprintf("topic %q", topic.Name)
		if topic.ID != [16]byte{} {
			id := string(rune(topic.ID[0]))
			for name, known := range ids {
				if known == topic.ID {
					id = name
				}
			}
			line += " by ID " + id
		}
		if topic.Partitions != nil {
			line += fmt.Sprint(" ", topic.Partitions)
		}
		lines = append(lines, line)
	}
	for _, group := range s.Groups {
		lines = append(lines, fmt.Sprintf("group %q", group))
	}
	for _, x := range s.Transactions {
		line := fmt.Sprintf("transactional ID %q", x.TransactionalID)
		if x.Producer != noProducer {
			line += fmt.Sprintf(" producer=%d epoch=%d", x.Producer.ProducerID, x.Producer.ProducerEpoch)
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return "nothing"
	}
	return strings.Join(lines, "\n")
}
