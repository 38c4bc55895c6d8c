package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/durability"
	"once/internal/vfs"
)

// flush.messages acts as soon as it is set: an answer then means that the record is on the disk, whatever the
// durability mode, and no clock has to bring the barrier.
func TestFlushMessagesActsWhileRunning(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.WithDataDir(dir),
		brokertest.WithSettings(t, map[string]string{"flush.interval.ms": "86400000"}))
	h := &hostile{peer: &peer{t: t, addr: b.Addr(), own: b}}
	h.forget()
	t.Cleanup(h.hangUp)
	h.topic("x")
	recoveryPoint := func() int64 {
		slots := durability.ReadBarriers(vfs.OS, dir)
		return durability.NewestBarrier(&slots).Entries["x"+h.suffix+"-0"].RecoveryPoint
	}
	produce := func() {
		t.Helper()
		if got := h.produceTo(9, -1, nil, part{"x", 0, plainBatch("v")}); got != "x-0 NONE" {
			t.Fatal(got)
		}
	}
	set := func(value string) {
		t.Helper()
		r := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r.Version = 1
		resource := kmsg.NewIncrementalAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, "x"+h.suffix
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = "flush.messages", &value
		resource.Configs = append(resource.Configs, config)
		r.Resources = append(r.Resources, resource)
		if got := h.request(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode; got != 0 {
			t.Fatal(code(got))
		}
	}
	produce()
	before := recoveryPoint()
	if before > 0 {
		t.Fatalf("the record is on the disk already, up to offset %d", before)
	}
	set("1")
	for want := int64(2); want < 5; want++ {
		produce()
		if got := recoveryPoint(); got != want {
			t.Errorf("answered with offset %d on the disk, not %d", got, want)
		}
	}
	set("3")
	for _, want := range []int64{4, 4, 7, 7, 7, 10} {
		produce()
		if got := recoveryPoint(); got != want {
			t.Errorf("every third: answered with offset %d on the disk, not %d", got, want)
		}
	}
}
