package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/fault"
	"once/internal/kafkatest"
	"once/internal/script"
	"once/log/batch"
	"once/wire"
)

// What scripts can do to this broker besides talking to it. A script that is to see a broker die at a point goes on
// with a process of its own; see internal/fault for the points.
func init() {
	for name, do := range map[string]func(*peer, script.Command) string{
		"crash-at":  crashAt,
		"hold":      hold,
		"release":   release,
		"send-end":  sendEnd,
		"answer":    pendingAnswer,
		"died":      died,
		"exhaust":   exhaust,
		"init-many": initMany,
		"read":      readAll,
	} {
		commands[name] = do
	}
}

// faulty is what a peer has besides its connection while something is armed.
type faulty struct {
	process *process     // of crash-at
	fault   *fault.Fault // of hold
	pending *kafkatest.Conn
	asked   *kmsg.EndTxnRequest
	id      int32
}

func faultyOf(p *peer) *faulty {
	if p.faulty == nil {
		p.t.Fatal("no crash-at or hold came before")
	}
	return p.faulty
}

// crashAt: crash-at point=P [hit=N]: from here on the broker is a process, which dies at the N-th hit of the point
func crashAt(p *peer, c script.Command) string {
	p.hangUp()
	if err := p.own.Close(); err != nil {
		p.t.Fatal(err)
	}
	f := &faulty{process: launch(p.t, p.dir, c.String("point", "")+"=kill@"+c.String("hit", "1"))}
	if f.process.addr == "" {
		p.t.Fatalf("the broker did not start:\n%s", f.process.Log.String())
	}
	p.faulty = f
	p.addr = f.process.addr
	return "ok"
}

// hold: hold point=P [of=x-0] [id=t]: from here on the broker holds what comes to the point, of one partition or one
// transactional ID where that is said, until release
func hold(p *peer, c script.Command) string {
	point, err := fault.PointOf(c.String("point", ""))
	if err != nil {
		p.t.Fatal(err)
	}
	r := fault.Rule{Point: point, Do: fault.Action{Hold: true}, Fires: func(at fault.Attributes) bool { return true }}
	if of := c.String("of", ""); of != "" {
		topic, index := p.place(of)
		r.Fires = func(at fault.Attributes) bool { return at.Topic == topic && at.Partition == index }
	} else if c.Has("id") {
		id := p.id(c)
		r.Fires = func(at fault.Attributes) bool { return at.TransactionalID == id }
	}
	f, err := p.own.Cluster().Faults().Arm(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.faulty = &faulty{fault: f}
	return "ok"
}

// release: disarms what hold has armed, and says how much that held
func release(p *peer, _ script.Command) string {
	f := faultyOf(p).fault
	held := f.Counts().Held
	f.Disarm()
	return fmt.Sprintf("%d released", held)
}

// sendEnd: send-end, with the arguments of end: sends the request on a connection of its own
func sendEnd(p *peer, c script.Command) string {
	f := faultyOf(p)
	r := kmsg.NewPtrEndTxnRequest()
	r.Version = int16(p.int(c, "version", 5))
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = p.id(c), p.producer(c), int16(p.int(c, "epoch", 0)),
		c.Has("commit")
	conn, err := kafkatest.Dial(p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	f.pending, f.asked = conn, r
	if f.id, err = conn.Send(r); err != nil {
		p.t.Fatal(err)
	}
	return "sent"
}

// pendingAnswer: answer: what send-end is answered
func pendingAnswer(p *peer, _ script.Command) string {
	f := faultyOf(p)
	answer, err := f.pending.Receive(f.asked, f.id)
	if err != nil {
		return closed
	}
	resp := answer.(*kmsg.EndTxnResponse)
	if resp.ErrorCode != 0 || resp.Version < 5 {
		return code(resp.ErrorCode)
	}
	return "NONE " + producerAt(p, resp.ProducerID, resp.ProducerEpoch)
}

// died: waits for the death that crash-at has asked for
func died(p *peer, _ script.Command) string {
	p.hangUp()
	if !faultyOf(p).process.Killed() {
		return "ended otherwise"
	}
	return "ok"
}

// exhaust: exhaust [id=t] [until-epoch=32766]: initializes a new ID and uses up its epochs by aborting
// transactions that have nothing in them, which is the fastest way
func exhaust(p *peer, c script.Command) string {
	const window = 100 // requests sent ahead of their answers
	id, until := p.id(c), int16(p.int(c, "until-epoch", 32766))
	first := kmsg.NewPtrInitProducerIDRequest()
	first.Version, first.TransactionalID, first.TransactionTimeoutMillis = 4, &id, 60_000
	r := kmsg.NewPtrEndTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID = 5, id, p.ask(first).(*kmsg.InitProducerIDResponse).ProducerID
	conn := p.connect()
	var sent []int32
	for epoch, next := int16(0), int16(0); epoch < until; { // epoch is answered for, next is to be sent
		for ; len(sent) < window && next < until; next++ {
			r.ProducerEpoch = next
			correlationID, err := conn.Send(r)
			if err != nil {
				p.t.Fatal(err)
			}
			sent = append(sent, correlationID)
		}
		answer, err := conn.Receive(r, sent[0])
		if err != nil {
			p.t.Fatal(err)
		}
		sent = sent[1:]
		switch resp := answer.(*kmsg.EndTxnResponse); {
		case resp.ErrorCode == 0:
			epoch = resp.ProducerEpoch
		case resp.ErrorCode != int16(wire.ConcurrentTransactions):
			return code(resp.ErrorCode)
		default: // those sent behind it have not happened either
			for _, correlationID := range sent {
				if _, err := conn.Receive(r, correlationID); err != nil {
					p.t.Fatal(err)
				}
			}
			sent, next = nil, epoch
		}
	}
	return producerAt(p, r.ProducerID, until)
}

// initMany: init-many n=N [above=ID]: gets so many producer IDs, and says whether each is above all that
// the script has seen, and above ID
func initMany(p *peer, c script.Command) string {
	last := p.int(c, "above", -1)
	for id := range p.letters {
		last = max(last, id)
	}
	for range p.int(c, "n", 1) {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.Version, r.TransactionTimeoutMillis = 4, 60_000
		resp := p.ask(r).(*kmsg.InitProducerIDResponse)
		if resp.ErrorCode != 0 || resp.ProducerID <= last {
			return "not above: " + code(resp.ErrorCode)
		}
		last = resp.ProducerID
	}
	p.letter(last)
	return "each above the one before"
}

// readAll: read of=x-0 [from=O] [committed]: as fetch, until the end: one answer holds one segment at most
func readAll(p *peer, c script.Command) string {
	var out []string
	aborted := map[string]bool{}
	from := p.int(c, "from", 0)
	for {
		each := script.Command{Name: c.Name, Pos: c.Pos}
		for _, a := range c.Args {
			if a.Name != "from" {
				each.Args = append(each.Args, a)
			}
		}
		each.Args = append(each.Args, script.Arg{Name: "from", Value: strconv.FormatInt(from, 10)})
		rp := p.fetchOnce(each)
		if rp.ErrorCode != 0 {
			return code(rp.ErrorCode)
		}
		for _, a := range rp.AbortedTransactions {
			aborted[fmt.Sprintf("aborted %s from %d", p.letter(a.ProducerID), a.FirstOffset)] = true
		}
		if len(rp.RecordBatches) == 0 {
			out = append(out, fmt.Sprintf("high_watermark=%d last_stable=%d", rp.HighWatermark, rp.LastStableOffset))
			return strings.Join(append(out, slices.Sorted(maps.Keys(aborted))...), "\n")
		}
		out = append(out, p.describeBatches(rp.RecordBatches)...)
		for raw := rp.RecordBatches; len(raw) > 0; {
			h, err := batch.ParseHeader(raw)
			if err != nil {
				p.t.Fatal(err)
			}
			from, raw = h.NextOffset(), raw[h.SizeBytes():]
		}
	}
}
