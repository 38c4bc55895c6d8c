package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/crashtest"
	"once/internal/fault"
	"once/internal/kafkatest"
	"once/wire"
)

// The broker is killed at every failpoint, at every hit of it (spec: reliability 3, rows F1 to F4 and
// F6), while clients of all kinds are at work. They go on with the broker that is started on what the
// killed one left, and in the end everything must be as if nobody had been killed.

var killArgs = []string{"--set", "offsets.topic.num.partitions=1", "--set", "transaction.state.log.num.partitions=1",
	"--set", "group.initial.rebalance.delay.ms=0"}

// journaledPoint is met only in the modes in which somebody waits.
var journaledPoint = fault.DiskJournaled.String()

func inFsync() []string { return append([]string{"--durability", "fsync"}, killArgs...) }

// killPoints are the names of all points at which a broker can be killed.
func killPoints() (names []string) {
	for _, p := range fault.All(fault.CanKill) {
		names = append(names, p.String())
	}
	return names
}

// TestKillAtEveryPoint sweeps the hits of each point until the work ends without a kill. In go test, each point kills
// at one of its first hits.
func TestKillAtEveryPoint(t *testing.T) {
	program(t)
	for _, point := range killPoints() {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			n, kills, args := 1, 0, killArgs
			if !crashtest.Sampled() {
				n = 1 + rand.IntN(3)
				t.Logf("hit %d, or the first", n)
			}
			if point == journaledPoint {
				args = inFsync()
			}
			for ; ; n++ {
				if n > 20 && n%3 != len(point)%3 {
					continue // the points of an append: between them each append is met
				}
				plan := []string{fmt.Sprintf("%s=kill@%d", point, n)}
				if point == fault.TopicOpen.String() { // there must be something to recover
					plan = slices.Insert(plan, 0, "txn.marked=kill@3")
				}
				if died := killed(t, args, n%3 == 1, plan...); died < len(plan) {
					if !crashtest.Sampled() && n > 1 { // it has fewer hits
						n = 0
						continue
					}
					break
				}
				if kills++; !crashtest.Sampled() {
					break
				}
			}
			if kills == 0 {
				t.Error("the point was never hit")
			}
			t.Logf("%d kills", kills)
		})
	}
}

// TestKillInOtherModes kills where the modes differ: between a write, its barrier and the answer.
func TestKillInOtherModes(t *testing.T) {
	program(t)
	for _, mode := range []string{"txn", "fsync"} {
		args := append([]string{"--durability", mode}, killArgs...)
		for _, point := range []string{"disk.synced", journaledPoint, "log.written", "txn.prepared", "group.appended"} {
			t.Run(mode+" "+point, func(t *testing.T) {
				t.Parallel()
				for n := 1; killed(t, args, false, fmt.Sprintf("%s=kill@%d", point, n)) > 0 && crashtest.Sampled(); n += 9 {
				}
			})
		}
	}
}

// TestKillAgainAndAgain kills the broker that comes after, and the one after that, also while it recovers
// (row F5): however often, the end is the same.
func TestKillAgainAndAgain(t *testing.T) {
	program(t)
	seeds := []uint64{0, 1, 2, 3, 4, 5, 6, 7}
	if !crashtest.Sampled() {
		first := rand.IntN(len(seeds) - 1)
		seeds = seeds[first : first+2] // one in each mode; every one of the eight meets two points at least
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 7))
			var plan []string
			points, args := killPoints(), inFsync()
			if seed%2 == 0 {
				points, args = slices.DeleteFunc(points, func(p string) bool { return p == journaledPoint }), killArgs
			}
			for len(plan) < 10 {
				point := points[rnd.IntN(len(points))]
				if len(plan) == 0 && point == fault.TopicOpen.String() { // the first start has nothing to open
					continue
				}
				plan = append(plan, fmt.Sprintf("%s=kill@%d", point, 1+rnd.IntN(3)))
			}
			if died := killed(t, args, true, plan...); died < 2 {
				t.Errorf("died %d times; the plan was %v", died, plan)
			}
		})
	}
}

// killed runs the work with brokers that die as the plan says, checks what is left, and returns how
// often they died. With twice it stops the last broker cleanly, starts it again and checks once more.
func killed(t *testing.T, args []string, twice bool, plan ...string) (died int) {
	t.Helper()
	c := newKillClient(t, args, plan...)
	defer c.hangUp()
	c.start()
	w := c.work()
	c.check(w)
	c.goOn(w)
	died = c.died
	if died > 0 && twice {
		c.hangUp()
		c.plan = nil
		if code := c.p.Stop(syscall.SIGTERM); code != 0 {
			t.Errorf("the clean stop: exit %d\n%s", code, c.p.Log.String())
		}
		c.start()
		c.check(w)
	}
	c.hangUp()
	c.p.Kill()
	if t.Failed() {
		t.Fatalf("the plan was %v", plan)
	}
	return died
}

// worked is what the work leaves behind.
type worked struct {
	plain, two, one *killProducer
	member          *killMember
	offsets         map[string]int64 // group and partition → offset
}

// work is the same every time: an idempotent producer, a member of a group, a transactional producer of
// V2 and one from before, commits and aborts over two partitions and offsets.
func (c *killClient) work() *worked {
	c.createTopic("x", 2, map[string]string{"segment.ms": "1000"})
	c.commit("plain", nil, 0, 1)
	w := &worked{member: c.member("members"), plain: c.producer("", false)}
	w.plain.produce("plain 1", "x", 0)
	w.plain.produce("plain 2", "x", 0)

	w.two = c.producer("two", true)
	w.two.produce("two commits 1", "x", 0)
	w.two.produce("two commits 2", "x", 1)
	w.two.produce("two commits 3", "x", 0)
	w.two.offsets("two", nil, 0, 10)
	w.two.offsets("members", w.member, 0, 11)
	w.two.end(true)
	w.plain.produce("plain 3", "x", 1)
	w.two.produce("two aborts 1", "x", 1)
	w.two.produce("two aborts 2", "x", 0)
	w.two.offsets("two", nil, 0, 20)
	w.two.offsets("two", nil, 1, 21)
	w.two.end(false)
	w.two.produce("two commits 4", "x", 1)

	w.one = c.producer("one", false)
	w.one.produce("one commits 1", "x", 1)
	w.one.produce("one commits 2", "x", 0)
	w.one.offsets("one", nil, 1, 30)
	w.one.end(true)
	w.two.end(true) // its transaction was open across all of the other's
	w.one.produce("one aborts 1", "x", 0)
	w.one.offsets("one", nil, 1, 40)
	w.one.end(false)
	c.commit("members", w.member, 1, 50)
	w.plain.produce("plain 4", "x", 0)
	w.offsets = map[string]int64{"plain 0": 1, "two 0": 10, "two 1": -1, "members 0": 11, "members 1": 50, "one 1": 30}
	return w
}

// check compares what the broker shows with what it has answered.
func (c *killClient) check(w *worked) {
	c.t.Helper()
	var visible []string
	times := map[string]int{}
	for index := range int32(2) {
		log := c.read("x", index)
		for _, r := range log {
			times[r.value]++
			if offset, acked := c.acked[r.value]; !acked || offset != r.offset {
				c.t.Errorf("%q stands at offset %d; acknowledged: %v, at %d", r.value, r.offset, acked, offset)
			}
			if r.visible {
				visible = append(visible, r.value)
			}
		}
	}
	for value := range c.acked {
		if times[value] != 1 {
			c.t.Errorf("%q was acknowledged and is there %d times", value, times[value])
		}
	}
	var want []string
	for value, committed := range c.committed {
		if committed {
			want = append(want, value)
		}
	}
	slices.Sort(want)
	slices.Sort(visible)
	if !slices.Equal(visible, want) {
		c.t.Errorf("read_committed shows\n%q\nand should\n%q", visible, want)
	}
	for at, want := range w.offsets {
		group, index, _ := strings.Cut(at, " ")
		if got := c.offset(group, int32(index[0]-'0')); got != want {
			c.t.Errorf("group %s has offset %d of x-%s, not %d", group, got, index, want)
		}
	}
	c.checkNothingIsOpen()
}

// checkNothingIsOpen looks for transactions that nobody will end.
func (c *killClient) checkNothingIsOpen() {
	c.t.Helper()
	for _, at := range []kafkatest.Place{
		{Topic: "x"}, {Topic: "x", Partition: 1}, {Topic: "__consumer_offsets"}, {Topic: "__transaction_state"},
	} {
		highWatermark, lastStable, _ := c.Ends(at.Topic, at.Partition)
		if lastStable != highWatermark {
			c.t.Errorf("%s-%d: last stable offset %d, high watermark %d", at.Topic, at.Partition, lastStable, highWatermark)
		}
		d := kmsg.NewPtrDescribeProducersRequest()
		d.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: at.Topic, Partitions: []int32{at.Partition}}}
		for _, p := range c.Answer(d).(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0].ActiveProducers {
			if p.CurrentTxnStartOffset >= 0 {
				c.t.Errorf("%s-%d: producer %d has a transaction from %d on", at.Topic, at.Partition, p.ProducerID,
					p.CurrentTxnStartOffset)
			}
		}
	}
	l := kmsg.NewPtrListTransactionsRequest()
	listed := c.Answer(l).(*kmsg.ListTransactionsResponse)
	if listed.ErrorCode != 0 {
		c.t.Errorf("list of transactions: %s", code(listed.ErrorCode))
	}
	for _, s := range listed.TransactionStates {
		if !slices.Contains([]string{"Empty", "CompleteCommit", "CompleteAbort"}, s.TransactionState) {
			c.t.Errorf("%s is %s", s.TransactionalID, s.TransactionState)
		}
	}
}

// goOn shows that every producer and the member are still known: duplicates are recognised, gaps are
// refused, the next thing is taken.
func (c *killClient) goOn(w *worked) {
	c.t.Helper()
	for _, index := range []int32{0, 1} {
		at := kafkatest.Place{Topic: "x", Partition: index}
		last := c.lastBatch[at]
		if offset := w.plain.send(last.raw, at, wire.NoError); offset != last.offset {
			c.t.Errorf("the last batch of x-%d again: offset %d, the first time %d", index, offset, last.offset)
		}
		gap := w.plain.Batch(w.plain.Sequences[at]+1, c.TimestampMs, kafkatest.Values("gap")...)
		w.plain.send(gap, at, wire.OutOfOrderSequenceNumber)
		w.plain.produce(fmt.Sprint("plain goes on ", index), "x", index)
	}
	w.two.produce("two goes on", "x", 0)
	w.two.end(true)
	w.one.produce("one goes on", "x", 1)
	w.one.end(true)
	w.member.join()
	c.commit("members", w.member, 1, 51)
	w.offsets["members 1"] = 51
}
