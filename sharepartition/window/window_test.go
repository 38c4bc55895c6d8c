package window

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"once/internal/script"
)

var codes = script.Codes{{Err: ErrInvalidState, Name: "INVALID_RECORD_STATE"},
	{Err: ErrInvalidBatch, Name: "INVALID_REQUEST"}}

// world is a window over a log of batches, which scripts talk to.
type world struct {
	t      *testing.T
	w      *Window
	log    []LogBatch
	now    time.Time
	limits Limits
}

// TestScripts runs testdata/*.txt.
func TestScripts(t *testing.T) {
	for _, name := range []string{"acquire", "acknowledge", "locks", "log"} {
		t.Run(name, func(t *testing.T) {
			script.CheckTitles(t, "testdata/"+name+".txt")
			w := &world{t: t, now: time.UnixMilli(0)}
			w.reset()
			script.Run(t, "testdata/"+name+".txt", w.run)
		})
	}
}

func (w *world) reset() {
	w.w, _ = New(0, nil)
	w.log = nil
	w.limits = Limits{DeliveryCount: 5, RecordLocks: 2000, LockDuration: 30 * time.Second, Renew: true}
}

func (w *world) run(t *testing.T, c script.Command) string {
	w.t = t
	switch c.Name {
	case "new":
		return w.load(c)
	case "append":
		return w.appendBatches(c)
	case "fetch":
		return w.fetch(c)
	case "acknowledge":
		return w.acknowledge(c)
	case "advance":
		w.now = w.now.Add(c.Advance(t))
		return w.change(w.w.Expire(w.now, w.limits))
	case "release":
		return w.change(w.w.ReleaseMember(c.String("member", "m1"), w.limits))
	case "letters-done":
		return w.change(w.w.FinishLetters(c.Int(t, "from", 0), c.Int(t, "to", 0)))
	case "log-start":
		w.w.LogStartMoved(c.Int(t, "offset", 0))
		return w.state()
	case "state":
		return w.state()
	}
	t.Fatalf("%s: unknown command", c.Pos)
	return ""
}

// load: new [start=0] [stored=[0-4:available:1 …]] [limit=5] [locks=2000] [letters] [no-renew]
func (w *world) load(c script.Command) string {
	w.reset()
	w.limits.DeliveryCount = int16(c.Int(w.t, "limit", 5))
	w.limits.RecordLocks = c.Int(w.t, "locks", 2000)
	w.limits.DeadLetters, w.limits.Renew = c.Has("letters"), !c.Has("no-renew")
	var stored []Batch
	for _, text := range c.List("stored") {
		var b Batch
		var state string
		parts := strings.Split(text, ":")
		scan(w.t, parts[0], "%d-%d", &b.FirstOffset, &b.LastOffset)
		state = parts[1]
		scan(w.t, parts[2], "%d", &b.DeliveryCount)
		for s := Available; s <= Archived; s++ {
			if strings.EqualFold(s.String(), state) {
				b.State = s
			}
		}
		stored = append(stored, b)
	}
	next, err := New(c.Int(w.t, "start", 0), stored)
	if err != nil {
		return err.Error()
	}
	w.w = next
	return w.state()
}

func scan(t *testing.T, text, format string, into ...any) {
	t.Helper()
	if _, err := fmt.Sscanf(text, format, into...); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

// appendBatches: append batches=[0-4 5-9:aborted …]
func (w *world) appendBatches(c script.Command) string {
	for _, text := range c.List("batches") {
		var b LogBatch
		text, b.Aborted = strings.CutSuffix(text, ":aborted")
		scan(w.t, text, "%d-%d", &b.FirstOffset, &b.LastOffset)
		w.log = append(w.log, b)
	}
	return "ok"
}

// from returns the batches of the log from an offset on.
func (w *world) from(offset int64) []LogBatch {
	i := slices.IndexFunc(w.log, func(b LogBatch) bool { return b.LastOffset >= offset })
	if i < 0 {
		return nil
	}
	return w.log[i:]
}

// fetch: fetch [member=m1] [max=500] [batch=500] [limited]
func (w *world) fetch(c script.Command) string {
	if !w.w.CanAcquire(w.limits) {
		return "full"
	}
	f := Fetch{
		MemberID: c.String("member", "m1"), Offset: w.w.NextFetchOffset(), MaxRecords: c.Int(w.t, "max", 500),
		BatchSize: c.Int(w.t, "batch", 500), RecordLimit: c.Has("limited"),
	}
	return ranges(w.w.Acquire(f, w.from(f.Offset), w.limits, w.now))
}

func ranges(list []AcquiredRange) string {
	if len(list) == 0 {
		return "nothing"
	}
	var out []string
	for _, r := range list {
		out = append(out, fmt.Sprintf("%d-%d*%d", r.FirstOffset, r.LastOffset, r.DeliveryCount))
	}
	return strings.Join(out, " ")
}

// acknowledge: acknowledge [member=m1] of=[0-4:1 5-6:1,2 …] [renew]
func (w *world) acknowledge(c script.Command) string {
	var list []Acknowledgement
	for _, text := range c.List("of") {
		var a Acknowledgement
		offsets, types, _ := strings.Cut(text, ":")
		scan(w.t, offsets, "%d-%d", &a.FirstOffset, &a.LastOffset)
		for _, x := range strings.Split(types, ",") {
			var kind AcknowledgeType
			scan(w.t, x, "%d", &kind)
			a.Types = append(a.Types, kind)
		}
		list = append(list, a)
	}
	if err := CheckForm(list, c.Has("renew")); err != nil {
		return codes.Of(err)
	}
	change, err := w.w.Acknowledge(c.String("member", "m1"), list, w.limits)
	if err != nil {
		return codes.Of(err)
	}
	return w.change(change)
}

// change applies a change and shows what is stored of it.
func (w *world) change(c *Change) string {
	stored := "nothing stored"
	if !c.IsEmpty() {
		stored = fmt.Sprintf("stored start=%d finished=%d%s", c.StartOffset, c.Finished, batchesText(c.Batches))
	}
	for _, l := range c.Letters {
		stored += fmt.Sprintf(" letter=%d-%d", l.FirstOffset, l.LastOffset)
	}
	w.w.Apply(c, w.limits, w.now)
	w.w.Rearm()
	return stored + "\n" + w.state()
}

func batchesText(batches []Batch) (text string) {
	for _, b := range batches {
		text += fmt.Sprintf(" %d-%d:%s*%d", b.FirstOffset, b.LastOffset, b.State, b.DeliveryCount)
	}
	return text
}

func (w *world) state() string {
	w.w.check()
	text := fmt.Sprintf("start=%d end=%d finished=%d", w.w.StartOffset(), w.w.EndOffset(), w.w.Finished())
	if at, ok := w.w.NextExpiry(); ok {
		text += fmt.Sprintf(" wake=%v", at.Sub(time.UnixMilli(0)))
	}
	return text
}

// A window and a plain map of offsets are told the same random things; they must always agree, and no record may be
// delivered more often than allowed, to two owners at once, or be lost.
func TestWindowAgreesWithAModel(t *testing.T) {
	for seed := range uint64(300) {
		runModel(t, rand.New(rand.NewPCG(seed, 1)), seed)
	}
}

type modelRecord struct {
	state    State
	count    int16
	member   string
	deadline time.Time
}

func runModel(t *testing.T, r *rand.Rand, seed uint64) {
	w, _ := New(0, nil)
	limits := Limits{DeliveryCount: int16(2 + r.IntN(5)), RecordLocks: int64(5 + r.IntN(60)),
		LockDuration: 10 * time.Second, Renew: true}
	model := map[int64]*modelRecord{}
	var log []LogBatch
	end, now := int64(0), time.UnixMilli(0)
	apply := func(c *Change) {
		for _, b := range c.Batches {
			for o := b.FirstOffset; o <= b.LastOffset; o++ {
				*model[o] = modelRecord{state: b.State, count: b.DeliveryCount}
			}
		}
		w.Apply(c, limits, now)
	}
	for step := range 200 {
		member := fmt.Sprint("m", r.IntN(3))
		switch r.IntN(6) {
		case 0:
			n := int64(1 + r.IntN(8))
			log = append(log, LogBatch{FirstOffset: end, LastOffset: end + n - 1, Aborted: r.IntN(8) == 0})
			end += n
		case 1, 2:
			if !w.CanAcquire(limits) {
				continue
			}
			f := Fetch{
				MemberID: member, Offset: w.NextFetchOffset(), MaxRecords: int64(1 + r.IntN(20)), BatchSize: int64(1 + r.IntN(20)),
				RecordLimit: r.IntN(2) == 0,
			}
			from := slices.IndexFunc(log, func(b LogBatch) bool { return b.LastOffset >= f.Offset })
			if from < 0 {
				continue
			}
			total := int64(0)
			for _, x := range w.Acquire(f, log[from:], limits, now) {
				for o := x.FirstOffset; o <= x.LastOffset; o++ {
					m := model[o]
					if m == nil {
						m = &modelRecord{}
						model[o] = m
					}
					if m.state != Available || m.count+1 != x.DeliveryCount || x.DeliveryCount > limits.DeliveryCount {
						t.Fatalf("seed %d step %d: offset %d is %v*%d and is acquired with count %d", seed, step, o, m.state, m.count,
							x.DeliveryCount)
					}
					*m = modelRecord{Acquired, x.DeliveryCount, member, now.Add(limits.LockDuration)}
					total++
				}
			}
			if f.RecordLimit && total > f.MaxRecords {
				t.Fatalf("seed %d step %d: %d records, limit %d", seed, step, total, f.MaxRecords)
			}
			for _, b := range log {
				for o := b.FirstOffset; b.Aborted && o <= b.LastOffset; o++ {
					if m := model[o]; (m == nil || m.state == Available) && isArchived(w, o) {
						model[o] = &modelRecord{state: Archived}
					}
				}
			}
		case 3:
			var owned []int64
			for o, m := range model {
				if m.state == Acquired && m.member == member {
					owned = append(owned, o)
				}
			}
			slices.Sort(owned)
			var list []Acknowledgement
			for _, o := range owned {
				if r.IntN(2) == 0 {
					list = append(list, Acknowledgement{o, o, []AcknowledgeType{AcknowledgeType(r.IntN(4))}})
				}
			}
			c, err := w.Acknowledge(member, list, limits)
			if err != nil {
				t.Fatalf("seed %d step %d: acknowledging %v: %v", seed, step, list, err)
			}
			apply(c)
		case 4:
			now = now.Add(time.Duration(r.IntN(8)) * time.Second)
			apply(w.Expire(now, limits))
		case 5:
			if r.IntN(4) == 0 {
				apply(w.ReleaseMember(member, limits))
			}
		}
		checkModel(t, w, model, end, fmt.Sprintf("seed %d step %d", seed, step))
	}
}

// isArchived says whether the window has taken an offset and hides it.
func isArchived(w *Window, o int64) bool {
	i := w.overlapping(o)
	if o < w.start || i == len(w.entries) || w.entries[i].first > o {
		return o < w.start
	}
	c, _ := w.entries[i].cell(o)
	return c.state == Archived
}

// checkModel compares the states, and that everything below the start offset is finished.
func checkModel(t *testing.T, w *Window, model map[int64]*modelRecord, end int64, at string) {
	t.Helper()
	w.check()
	for o := range end {
		m := model[o]
		if m == nil {
			m = &modelRecord{}
		}
		if o < w.start {
			if !m.state.IsFinal() {
				t.Fatalf("%s: offset %d is %v, below start offset %d", at, o, m.state, w.start)
			}
			continue
		}
		i := w.overlapping(o)
		if i == len(w.entries) || w.entries[i].first > o {
			continue // not taken yet
		}
		if c, _ := w.entries[i].cell(o); c.state != m.state || c.member != m.member {
			t.Fatalf("%s: offset %d is %v of %q, the model has %v of %q", at, o, c.state, c.member, m.state, m.member)
		}
	}
}
