package inspect_test

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/cluster"
	"once/durability"
	"once/inspect"
	"once/internal/vfs"
	"once/log"
	"once/topics"
	"once/wire"
)

// outcome is what a damage has come to.
type outcome int

const (
	same    outcome = iota // clients see what they would without it
	cut                    // what stands above the last barrier is cut, as the log says
	offline                // the partition is
	refused                // the start is
	outcomes
)

var outcomeNames = [outcomes]string{"same", "cut", "offline", "refused"}

// trial is one damage and what comes of it.
type trial struct {
	*damage
	*host
	fs       *vfs.Mem
	said     string // by the log of the first life
	came     outcome
	problems []string
}

func (y *trial) complain(format string, args ...any) {
	y.problems = append(y.problems, fmt.Sprintf(format, args...))
}

// suffer damages a copy of the directory, starts on it twice, and says what is wrong with what clients see.
func (d *damage) suffer(h *host) (outcome, []string) {
	y := &trial{damage: d, host: h, fs: d.state.left.Clone()}
	setContent(y.fs, d.file, d.apply(contentOf(y.fs, d.file)))
	before := y.check()
	if got, ok := y.life(); ok {
		y.nextLife(got)
		if y.came != offline && len(y.problems) == 0 {
			y.judgeCheckAfterwards(y.check())
		}
	}
	y.judgeCheck(before)
	if len(y.problems) > 0 && y.said != "" {
		y.complain("log:\n%s", y.said)
	}
	return y.came, y.problems
}

func (y *trial) check() inspect.Report {
	report, err := inspect.Check(y.fs, sweepDir, inspect.Options{BootID: y.state.bootID})
	if err != nil {
		y.complain("check: %v", err)
	}
	return report
}

// life is the first start, with everything that clients ask.
func (y *trial) life() (got *answers, ok bool) {
	s := y.state
	l, err := y.start(y.fs, s.mode, s.bootID, false)
	if err != nil {
		y.came = refused
		if !errors.Is(err, cluster.ErrStorage) || !strings.Contains(err.Error(), path.Join(sweepDir, y.file)) {
			y.complain("the start ends with %v", err)
		}
		return nil, false
	}
	got = y.answers(s.ids, func(partition string) bool { return partition == y.partition() })
	after := y.goOn(s, got)
	if err := l.Close(); err != nil {
		y.complain("close: %v", err)
	}
	y.said = l.log.String()
	y.problems = append(y.problems, after.wrong...)
	for _, identity := range after.again {
		if s.begun[identity] || !y.wasCut(topics.TransactionState) { // docs/gaps.md
			y.complain("producer %d epoch %d is given again", identity[0], identity[1])
		}
	}
	wrong := y.judge(&s.right, got)
	if y.file == durability.JournalFile || strings.HasPrefix(y.file, "barrier.") {
		for _, older := range s.older {
			if len(wrong) > 0 && len(y.judge(older, got)) == 0 {
				y.came, wrong = cut, nil
			}
		}
	}
	y.problems = append(y.problems, wrong...)
	return got, true
}

// nextLife starts once more, lets the cleaner and retention do their work, and reads what is left.
func (y *trial) nextLife(before *answers) {
	l, err := y.start(y.fs, y.state.mode, y.state.bootID, true)
	if err != nil {
		y.complain("the next start ends with %v", err)
		return
	}
	l.Clock().Advance(time.Minute)
	now := y.answers(y.state.ids, func(string) bool { return false })
	if err := l.Close(); err != nil {
		y.complain("next close: %v", err)
	}
	for _, name := range sweepPartitions {
		was, is := before.partitions[name], now.partitions[name]
		if was.code != wire.NoError { // and retention may have deleted what is damaged
			was = y.state.right.partitions[name]
		}
		switch {
		case is.wrong != "":
			y.complain("in the next life, %s: %s", name, is.wrong)
		case is.code == wire.NoError:
			if text := lost(was.records, is); text != "" {
				y.complain("in the next life, %s: %s", name, text)
			}
		case name != y.partition() || !y.isNamed(l.log.String(), name):
			y.complain("in the next life, %s is refused with %v", name, is.code)
		}
	}
}

// isNamed says whether a log names the damaged file as the reason for which a partition is offline, or the segment
// behind it, before which offsets are missing.
func (y *trial) isNamed(text, partition string) bool {
	return len(linesWith(text, "level=ERROR", "partition="+partition, path.Join(sweepDir, path.Dir(y.file))+"/")) > 0
}

// lost compares records with what there was before compaction and retention: each is one that was there, or the one
// that was appended since, and the newest of each key that can be read is left.
func lost(was []sweepRecord, is *partitionAnswers) string {
	newest := map[string]sweepRecord{}
	for _, r := range was {
		if r.visible && r.offset >= is.start {
			newest[r.key] = r
		}
	}
	for _, r := range is.records {
		if r.value == appendedValue {
			continue
		}
		i := slices.IndexFunc(was, func(x sweepRecord) bool { return x.offset == r.offset })
		if i < 0 || was[i].visible && was[i] != r || !was[i].visible && r.visible {
			return fmt.Sprintf("%+v was not there", r)
		}
		if newest[r.key] == r {
			delete(newest, r.key)
		}
	}
	if len(newest) > 0 {
		return fmt.Sprintf("lost %v", newest)
	}
	return ""
}

// judge compares answers with those of an undamaged directory.
func (y *trial) judge(want, got *answers) (problems []string) {
	complain := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	y.came = same
	for _, name := range sweepPartitions {
		came, text := y.judgePartition(name, want.partitions[name], got.partitions[name])
		y.came = max(y.came, came)
		if text != "" {
			complain("%s: %s", name, text)
		}
	}
	for group, right := range want.offsets {
		if o := got.offsets[group]; o != right && (o > right || !y.wasCut(topics.ConsumerOffsets)) {
			complain("group %s: offset %d, not %d", group, o, right)
		}
	}
	for id, right := range want.ids {
		if got.ids[id] != right && !y.wasCut(topics.TransactionState) {
			complain("transactional ID %s: %s, not %s", id, got.ids[id], right)
		}
	}
	if y.came == same && y.wasCut("") {
		y.came = cut
	}
	return problems
}

func (y *trial) judgePartition(name string, right, p *partitionAnswers) (came outcome, problem string) {
	ends := func(p *partitionAnswers) [3]int64 { return [3]int64{p.start, p.end, p.stable} }
	isCut := y.wasCut(strings.TrimSuffix(name, "-0"))
	n := len(p.records)
	switch {
	case p.wrong != "":
		return same, p.wrong
	case p.code != wire.NoError && (p.code != wire.KafkaStorageError || name != y.partition() || !y.isNamed(y.said, name)):
		return offline, fmt.Sprintf("refused with %v, and nothing says why", p.code)
	case p.code != wire.NoError:
		return offline, ""
	case slices.Equal(p.records, right.records) && ends(p) == ends(right):
		if isCut || y.inLeaderEpoch { // docs/gaps.md
			return same, ""
		}
		return same, p.differs(right)
	case slices.Equal(p.records, right.records) && p.end == p.stable && p.end > right.end &&
		y.wasCut(topics.TransactionState):
		return cut, "" // what the transaction log does not know any more is aborted
	case name == sweepCompacted && y.isCompactionsGap(right, p): // docs/gaps.md
		return cut, ""
	case n > len(right.records) || !slices.Equal(p.records, right.records[:n]) || p.start != right.start ||
		p.end < y.state.points[name]:
		return cut, fmt.Sprintf("%+v, not %+v (recovery point %d); %s", ends(p), ends(right), y.state.points[name],
			firstDifference(p.records, right.records))
	case !isCut && !y.betweenBatches: // docs/gaps.md
		return cut, fmt.Sprintf("%+v, not %+v, and nothing says so", ends(p), ends(right))
	}
	return cut, ""
}

// isCompactionsGap says whether a difference is one that nothing tells of in a log in which offsets may be missing: a
// batch that has an offset between its neighbours', or whole batches missing at the end of a segment.
func (y *trial) isCompactionsGap(right, p *partitionAnswers) bool {
	if y.partition() != sweepCompacted || p.end != right.end || !y.inBaseOffset && !y.betweenBatches {
		return false
	}
	last := int64(-1)
	i := 0
	for _, r := range p.records {
		for i < len(right.records) && right.records[i].value != r.value {
			i++
		}
		if i == len(right.records) || r.offset <= last || y.betweenBatches && right.records[i] != r {
			return false
		}
		last, i = r.offset, i+1
	}
	return y.betweenBatches || len(p.records) == len(right.records)
}

// differs says in what else than records a partition answers otherwise.
func (p *partitionAnswers) differs(right *partitionAnswers) string {
	if p.leaderEpochs != right.leaderEpochs {
		return fmt.Sprintf("leader epochs %s, not %s", p.leaderEpochs, right.leaderEpochs)
	}
	if p.producers != right.producers {
		return fmt.Sprintf("producers %s, not %s", p.producers, right.producers)
	}
	for i := range p.looks {
		if p.looks[i] != right.looks[i] {
			return fmt.Sprintf("%s, not %s", p.looks[i], right.looks[i])
		}
	}
	return ""
}

func firstDifference(a, b []sweepRecord) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%+v, not %+v", a[i], b[i])
		}
	}
	return fmt.Sprintf("%d records, not %d", len(a), len(b))
}

// judgeCheck holds the findings on the damaged directory against what came of it.
func (y *trial) judgeCheck(report inspect.Report) {
	named, blamed, damaged := false, false, false
	for _, f := range report.Findings {
		if f.File == y.file || y.partition() != "" && strings.HasPrefix(f.File+"/", y.partition()+"/") {
			named, blamed = true, blamed || f.Severity == inspect.Damage
		}
		// A barrier record and the journal that goes on from it are judged together.
		blamed = blamed || y.partition() == "" && f.Severity == inspect.Damage
		damaged = damaged || f.Severity == inspect.Damage && !(y.came == same && y.isUnread(f))
	}
	isSegment := path.Ext(y.file) == log.LogSuffix
	switch {
	case y.came == same && damaged, y.came == cut && !named && !y.betweenBatches, y.came >= offline && !blamed,
		isSegment && y.state.clean && !named:
		y.complain("%s, and the check says %v", outcomeNames[y.came], report.Findings)
	}
}

// isUnread says whether a finding is of bytes that no client gets: what lies below the log start offset, and leader
// epochs.
func (y *trial) isUnread(f inspect.Finding) bool {
	return y.inLeaderEpoch || path.Ext(y.file) == log.LogSuffix && f.Partition == y.partition()
}

// judgeCheckAfterwards wants a directory without damage, as far as clients have seen all that there is.
func (y *trial) judgeCheckAfterwards(report inspect.Report) {
	for _, f := range report.Findings {
		if f.Severity == inspect.Damage && !y.isUnread(f) && !y.betweenBatches {
			y.complain("a check afterwards says %v", f)
		}
	}
}

// wasCut says whether a log of a topic is cut that is not cut without damage; "" stands for any topic.
func (y *trial) wasCut(topic string) bool {
	dir := " dir=" + path.Join(sweepDir, topic)
	for _, line := range linesWith(y.said, "bytes above the last barrier were cut", dir) {
		_, dir, _ := strings.Cut(line, " dir=")
		if len(linesWith(y.state.said, "were cut", " dir="+strings.Fields(dir)[0]+" ")) == 0 {
			return true
		}
	}
	return false
}

// after is what has come of going on.
type after struct {
	wrong []string
	again [][2]int64 // producer IDs and epochs that were given before
}

// goOn goes on with the work: transactions that are open end, records are appended where the log ended, and the last
// batch of the idempotent producer is sent again.
func (h *host) goOn(s *sweepState, got *answers) (a after) {
	complain := func(format string, args ...any) { a.wrong = append(a.wrong, fmt.Sprintf(format, args...)) }
	for _, id := range s.ids {
		resp := h.initProducer(id)
		identity := [2]int64{resp.ProducerID, int64(resp.ProducerEpoch)}
		switch code := wire.Code(resp.ErrorCode); {
		case code == wire.ConcurrentTransactions && got.offline(): // its marker waits
		case code != wire.NoError:
			complain("init of %s: %v", id, code)
		case s.given[identity]:
			a.again = append(a.again, identity)
		}
	}
	for name, p := range got.partitions {
		if p.code != wire.NoError || p.wrong != "" {
			continue
		}
		topic := strings.TrimSuffix(name, "-0")
		now := h.fetch(topic, p.start, true)
		if now.HighWatermark != now.LastStableOffset {
			complain("%s: stable to %d of %d", name, now.LastStableOffset, now.HighWatermark)
		}
		if at, code := h.produceOne(topic); code != wire.NoError || at != now.HighWatermark {
			complain("%s: a record gets %v, offset %d behind %d", name, code, at, now.HighWatermark)
		}
	}
	plain := got.partitions["plain-0"]
	i := slices.IndexFunc(plain.records, func(r sweepRecord) bool { return r.key == retriedKey })
	if i < 0 || plain.code != wire.NoError {
		return a
	}
	s.retry.Topics[0].Partitions[0].Records = slices.Clone(s.sent)
	resp := h.ask(s.retry).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if at := plain.records[i].offset; resp.ErrorCode != 0 || resp.BaseOffset != at {
		complain("the batch at %d, sent again, gets %v, offset %d", at, wire.Code(resp.ErrorCode), resp.BaseOffset)
	}
	return a
}

// offline says whether a partition is refused.
func (a *answers) offline() bool {
	for _, p := range a.partitions {
		if p.code != wire.NoError {
			return true
		}
	}
	return false
}

// linesWith returns the lines of a log in which all words stand.
func linesWith(text string, words ...string) (found []string) {
next:
	for line := range strings.Lines(text) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}
