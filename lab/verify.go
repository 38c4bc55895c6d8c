package lab

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"once/cluster"
	"once/groupcoordinator"
	"once/inspect"
	"once/log/batch"
	"once/partition"
	"once/topics"
)

// Verification says which program is judged: it consumes the topic input as a group, and produces one record to the
// topic output for each input. Key is how a record and its output are known to belong together: value, key or
// header:NAME. An input without that header is to have no output.
type Verification struct {
	Input  string `json:"input"`
	Output string `json:"output"`
	Key    string `json:"key"`
	Group  string `json:"group"` // "": all inputs count, not only those below its committed offsets
}

// Verdict is the judgement.
type Verdict struct {
	OK         bool     `json:"ok"`
	Inputs     int      `json:"inputs"`
	Outputs    int      `json:"outputs"`
	Missing    []Placed `json:"missing"`    // inputs without an output
	Duplicated []Placed `json:"duplicated"` // outputs of an input that has one already
	OutOfOrder []Placed `json:"outOfOrder"` // outputs before which a later input of the same partition stands
	Unknown    []Placed `json:"unknown"`    // outputs without an input
}

// Placed is a record that is named by a verdict.
type Placed struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	ID        string `json:"id"`
}

// CheckReport is what a check has read and found.
type CheckReport struct {
	Partitions   int      `json:"partitions"`
	Segments     int      `json:"segments"`
	Batches      int64    `json:"batches"`
	Records      int64    `json:"records"`
	Bytes        int64    `json:"bytes"`
	Transactions int64    `json:"transactions"`
	Hanging      int      `json:"hanging"` // transactions that no coordinator knows, which are no damage by themselves
	Damage       int      `json:"damage"`
	Warnings     int      `json:"warnings"`
	Findings     []string `json:"findings"`
}

const (
	maxVerified = 2_000_000 // inputs of one verification
	maxListed   = 1000      // records in each list of a verdict
	readAtOnce  = 10_000    // records that are held in memory at a time
)

func verdictCalls() []call {
	return []call{
		on(http.MethodPost, "/verify", "Judge a consume-transform-produce program: each input has one output, in order",
			verify).onlyReads(),
		on(http.MethodPost, "/check", "Do as broker check does, on a snapshot of the running cluster; transactions that "+
			"hang are counted, and are no damage if the coordinator was told to forget them", check).onlyReads(),
	}
}

func check(x *exchange, _ *none) (CheckReport, error) {
	image, err := x.cluster.Snapshot()
	if err != nil {
		return CheckReport{}, fails(http.StatusConflict, "%v", err)
	}
	report, err := inspect.Check(image.FS(), image.Dir(), inspect.Options{BootID: x.cluster.BootID()})
	if removeErr := image.Remove(); err == nil {
		err = removeErr
	}
	if err != nil {
		return CheckReport{}, err
	}
	c := report.Counters
	r := CheckReport{Partitions: c.Partitions, Segments: c.Segments, Batches: c.Batches, Records: c.Records,
		Bytes: c.Bytes, Transactions: c.Transactions, Hanging: c.Hanging, Damage: c.Damage, Warnings: c.Warning,
		Findings: []string{}}
	for _, f := range report.Findings {
		r.Findings = append(r.Findings, f.String())
	}
	if report.Err() != nil {
		return r, withStatus(http.StatusConflict, r)
	}
	return r, nil
}

func verify(x *exchange, v *Verification) (Verdict, error) {
	if err := required("input", v.Input, "output", v.Output, "key", v.Key); err != nil {
		return Verdict{}, err
	}
	id, err := identifier(v.Key)
	if err != nil {
		return Verdict{}, err
	}
	view, ok := x.cluster.View()
	if !ok {
		return Verdict{}, errDown
	}
	defer view.End()
	input, hasInput := view.Topics.Lookup(v.Input)
	output, hasOutput := view.Topics.Lookup(v.Output)
	switch {
	case !hasInput:
		return Verdict{}, wrong("input", "there is no topic %q", v.Input)
	case !hasOutput:
		return Verdict{}, wrong("output", "there is no topic %q", v.Output)
	}
	committed, err := v.committed(x, view)
	if err != nil {
		return Verdict{}, err
	}
	j := judgement{inputs: map[string][]place{}, maxBytes: x.cluster.MaxDecompressedBytes()}
	j.verdict = Verdict{Missing: []Placed{}, Duplicated: []Placed{}, OutOfOrder: []Placed{}, Unknown: []Placed{}}
	if err := j.readInputs(input, committed, id); err != nil {
		return Verdict{}, err
	}
	if err := j.readOutputs(output, id); err != nil {
		return Verdict{}, err
	}
	j.findMissing(committed)
	d := &j.verdict
	d.OK = len(d.Missing)+len(d.Duplicated)+len(d.OutOfOrder)+len(d.Unknown) == 0
	if !d.OK {
		return *d, withStatus(http.StatusConflict, *d)
	}
	return *d, nil
}

// committed returns the committed offsets of the group in the input; nil without a group.
func (v *Verification) committed(x *exchange, view cluster.View) (map[int32]int64, error) {
	if v.Group == "" {
		return nil, nil
	}
	fetched, err := view.Groups.FetchOffsets(&groupcoordinator.FetchRequest{GroupID: v.Group, All: true}).Wait(
		x.request.Context())
	if err != nil {
		return nil, err
	}
	committed := map[int32]int64{}
	for _, t := range fetched.Topics {
		for _, p := range t.Partitions {
			if t.Topic == v.Input {
				committed[p.Partition] = p.Offset
			}
		}
	}
	return committed, nil
}

// identifier returns how the ID of a record is read.
func identifier(key string) (func(batch.Record) (id string, has bool), error) {
	name, isHeader := strings.CutPrefix(key, "header:")
	switch {
	case key == "value":
		return func(r batch.Record) (string, bool) { return string(r.Value), true }, nil
	case key == "key":
		return func(r batch.Record) (string, bool) { return string(r.Key), true }, nil
	case isHeader && name != "":
		return func(r batch.Record) (string, bool) {
			for _, h := range r.Headers {
				if h.Key == name {
					return string(h.Value), true
				}
			}
			return "", false
		}, nil
	}
	return nil, wrong("key", "must be value, key or header:NAME")
}

// judgement is one verification. Of several inputs of one ID, the n-th output belongs to the n-th.
type judgement struct {
	inputs   map[string][]place
	seen     map[string]int // outputs of an ID so far
	maxBytes int
	verdict  Verdict
}

// place is an input. It counts when it lies below the committed offset.
type place struct {
	partition int32
	offset    int64
}

func list(to *[]Placed, p Placed) {
	if len(*to) < maxListed {
		*to = append(*to, p)
	}
}

// eachCommitted calls fn for each record of a partition that a read_committed reader gets.
func (j *judgement) eachCommitted(p *partition.Partition, fn func(offset int64, r batch.Record) error) error {
	end := p.LastStableOffset()
	for from := p.LogStartOffset(); from < end; {
		batches, err := cluster.Batches(p, from, end, readAtOnce, true)
		if err != nil || len(batches) == 0 {
			return err
		}
		for _, b := range batches {
			from = b.NextOffset()
			if b.Fate != cluster.FatePlain && b.Fate != cluster.FateCommitted || b.IsControl() {
				continue
			}
			for r, err := range batch.Records(b.Raw, j.maxBytes) {
				if err == nil {
					err = fn(b.BaseOffset+int64(r.OffsetDelta), r)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (j *judgement) readInputs(t *topics.Topic, committed map[int32]int64,
	id func(batch.Record) (string, bool)) error {
	n := 0
	for i, p := range t.Partitions() {
		err := j.eachCommitted(p, func(offset int64, r batch.Record) error {
			if n++; n > maxVerified {
				return fails(http.StatusConflict, "there are more than %d inputs", maxVerified)
			}
			key, has := id(r)
			if !has { // such an input is to have no output
				return nil
			}
			j.inputs[key] = append(j.inputs[key], place{int32(i), offset})
			if counts(committed, place{int32(i), offset}) {
				j.verdict.Inputs++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// counts says whether an input has to have an output.
func counts(committed map[int32]int64, p place) bool {
	return committed == nil || p.offset < committed[p.partition]
}

func (j *judgement) readOutputs(t *topics.Topic, id func(batch.Record) (string, bool)) error {
	j.seen = map[string]int{}
	for i, p := range t.Partitions() {
		latest := map[int32]int64{} // of each input partition, the last input whose output stands in this one
		err := j.eachCommitted(p, func(offset int64, r batch.Record) error {
			j.verdict.Outputs++
			key, has := id(r)
			at := Placed{int32(i), offset, strings.ToValidUTF8(key, "\uFFFD")}
			if !has {
				list(&j.verdict.Unknown, at)
				return nil
			}
			inputs, n := j.inputs[key], j.seen[key]
			j.seen[key]++
			switch {
			case len(inputs) == 0:
				list(&j.verdict.Unknown, at)
			case n >= len(inputs):
				list(&j.verdict.Duplicated, at)
			default:
				of := inputs[n]
				if before, ok := latest[of.partition]; ok && of.offset < before {
					list(&j.verdict.OutOfOrder, at)
				}
				latest[of.partition] = max(latest[of.partition], of.offset)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// findMissing lists the first inputs without an output.
func (j *judgement) findMissing(committed map[int32]int64) {
	missing := []Placed{}
	for key, inputs := range j.inputs {
		for _, p := range inputs[min(j.seen[key], len(inputs)):] {
			if counts(committed, p) {
				missing = append(missing, Placed{p.partition, p.offset, strings.ToValidUTF8(key, "\uFFFD")})
			}
		}
	}
	slices.SortFunc(missing, func(a, b Placed) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	j.verdict.Missing = missing[:min(len(missing), maxListed)]
}
