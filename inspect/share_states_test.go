package inspect_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/kafkatest"
	"once/internal/vfs"
)

// shareDirectory is the directory of a stopped broker with one share group.
func shareDirectory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.WithDataDir(dir))
	c, err := kafkatest.Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version = 7
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "x", NumPartitions: 1, ReplicationFactor: 1}}
	if _, err := c.Request(create); err != nil {
		t.Fatal(err)
	}
	join := kmsg.NewPtrShareGroupHeartbeatRequest()
	join.Version, join.GroupID, join.MemberID, join.SubscribedTopicNames = 1, "sharers", "m", []string{"x"}
	resp, err := c.Request(join)
	if err != nil || resp.(*kmsg.ShareGroupHeartbeatResponse).ErrorCode != 0 {
		t.Fatal(resp, err)
	}
	topicID := resp.(*kmsg.ShareGroupHeartbeatResponse).Assignment.TopicPartitions[0].TopicID
	write := kmsg.NewPtrWriteShareGroupStateRequest()
	write.Version, write.GroupID = 1, "sharers"
	write.Topics = []kmsg.WriteShareGroupStateRequestTopic{{TopicID: topicID,
		Partitions: []kmsg.WriteShareGroupStateRequestTopicPartition{{
			StateEpoch: 1, StartOffset: 3, DeliveryCompleteCount: 2,
			StateBatches: []kmsg.WriteShareGroupStateRequestTopicPartitionStateBatch{{FirstOffset: 4, LastOffset: 5,
				DeliveryState: 2, DeliveryCount: 1}},
		}}}}
	if resp, err := c.Request(write); err != nil ||
		resp.(*kmsg.WriteShareGroupStateResponse).Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatal(resp, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDumpShowsShareGroups(t *testing.T) {
	dir := shareDirectory(t)
	var groups, states strings.Builder
	if err := inspect.DumpOffsets(&groups, vfs.OS, dir); err != nil {
		t.Fatal(err)
	}
	if err := inspect.DumpShareStates(&states, vfs.OS, dir); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`share-member partition=`, `group="sharers" member_id="m" client_id=`, `group_epoch=3`, `initialized=[x[0]]`,
		`assignment_epoch=3`,
		`member_epoch=3`,
	} {
		if !strings.Contains(groups.String(), want) {
			t.Errorf("no %q in\n%s", want, groups.String())
		}
	}
	for _, want := range []string{
		"start_offset=-1 delivery_complete_count=-1 batches=[]",
		"start_offset=3 delivery_complete_count=2 batches=[4-5:Acknowledged*1]",
	} {
		if !strings.Contains(states.String(), want) {
			t.Errorf("no %q in\n%s", want, states.String())
		}
	}
}

// A check finds state in the wrong partition, and batches that cannot be loaded.
func TestCheckFindsDamagedShareStates(t *testing.T) {
	whole := inspecttest.NewCopy(t, shareDirectory(t))
	for name, c := range map[string]struct {
		message string
		spoil   func(raw []byte)
	}{
		"wrong partition": {"belongs to partition", func(raw []byte) {
			copy(raw[bytes.Index(raw, []byte("sharers")):],
				"sharerz")
		}},
		"a state that is none": {"has state", func(raw []byte) {
			if i := bytes.Index(raw, []byte{0, 0, 0, 0, 0, 0, 0, 5, 2}); i >= 0 {
				raw[i+8] = 1
			}
		}},
		"no version that is known": {"value of version 9", func(raw []byte) {
			// behind topic ID, partition and the value's length
			raw[bytes.Index(raw, []byte("sharers"))+len("sharers")+16+4+2] = 9
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := whole.Restore()
			report, err := inspect.Check(vfs.OS, dir, inspect.Options{})
			if err != nil || slices.ContainsFunc(report.Findings,
				func(f inspect.Finding) bool { return f.Severity == inspect.Damage }) {
				t.Fatalf("before: %v, %v", err, report.Findings)
			}
			file := internalOf(t, dir, "__share_group_state", "sharers")
			all := batches(t, file)
			for _, p := range all {
				c.spoil(p.raw)
			}
			rewrite(t, file, all)
			report, err = inspect.Check(vfs.OS, dir, inspect.Options{})
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range report.Findings {
				found = found || f.Severity == inspect.Damage && strings.Contains(f.Message, c.message) &&
					strings.Contains(f.File, "__share_group_state")
			}
			if !found {
				t.Errorf("no %q in %+v", c.message, report.Findings)
			}
		})
	}
}
