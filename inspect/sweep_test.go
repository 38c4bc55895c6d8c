package inspect_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"once/durability"
	"once/log"
	"once/log/batch"
)

// Every file that a start reads is damaged: a bit in each of its bytes is flipped, each of its pages zeroed, its tail
// cut off. It is judged by what clients get to see. Every acknowledged record is read at its offset, or its partition
// is offline, or the start is refused, with the name of the file in the log or in the error. What stands above the last
// barrier after a kill may be cut, which the log says. Transactions keep their outcomes, groups their offsets, no
// offset and no producer epoch is given twice; the next life, with the cleaner and retention, finds what there was. And
// a check of the stopped directory says so before. What is not kept stands in docs/gaps.md.
//
// The metadata is not among the files: package meta and package broker have sweeps over its own.
//
// A test run takes a sample. ONCE_FLIP_SWEEP=1 takes everything, which is an hour; 3/8 the third of eight parts, each
// of which is spread over everything; another value, what has it in its name.

// damage is what happens to a file of a directory.
type damage struct {
	state *sweepState
	file  string
	what  string
	apply func([]byte) []byte
	// What no checksum covers, and what nobody misses.
	inLeaderEpoch, inBaseOffset, betweenBatches bool
}

func (d *damage) String() string { return fmt.Sprintf("%s, %s, %s", d.state.name, d.file, d.what) }

func (d *damage) partition() string {
	if dir, _, ok := strings.Cut(d.file, "/"); ok {
		return dir
	}
	return ""
}

// damages are a flipped bit in each byte of each file, each page zeroed, and cuts.
func (s *sweepState) damages(dice *rand.Rand) (all []*damage) {
	for _, file := range s.files() {
		content := contentOf(s.left, file)
		size := len(content)
		batches := batchesOf(file, content)
		add := func(what string, apply func([]byte) []byte) *damage {
			d := &damage{state: s, file: file, what: what, apply: apply}
			all = append(all, d)
			return d
		}
		for at := range size {
			if file == durability.JournalFile && content[at] == 0 && at%64 != 0 { // what fills it up
				continue
			}
			bit := dice.Intn(8)
			d := add(fmt.Sprintf("bit %d of byte %d flipped", bit, at), func(b []byte) []byte { b[at] ^= 1 << bit; return b })
			d.inBaseOffset = slices.ContainsFunc(batches, func(from int) bool { return at >= from && at < from+8 })
			d.inLeaderEpoch = slices.ContainsFunc(batches, func(from int) bool { return at >= from+12 && at < from+16 })
		}
		for at := 0; at < size; at += 4096 {
			add(fmt.Sprintf("page at %d zeroed", at), func(b []byte) []byte { clear(b[at:min(at+4096, size)]); return b })
		}
		for cut := 0; cut < size; cut += 1 + dice.Intn(64) {
			d := add(fmt.Sprintf("cut to %d of %d bytes", cut, size), func(b []byte) []byte { return b[:cut] })
			d.betweenBatches = slices.ContainsFunc(batches, func(from int) bool { // or with nothing but zeros behind
				return from <= cut && len(bytes.TrimLeft(content[from:cut], "\x00")) == 0
			})
		}
	}
	return all
}

// batchesOf returns where the batches of a segment begin.
func batchesOf(file string, content []byte) (all []int) {
	if path.Ext(file) != log.LogSuffix {
		return nil
	}
	for at := 0; at < len(content); {
		h, err := batch.ParseHeader(content[at:])
		if err != nil {
			break
		}
		all = append(all, at)
		at += h.SizeBytes()
	}
	return all
}

// sweepSample is how many of all damages a test run takes, half of them always the same.
const sweepSample = 120

func TestDamageIsNotServed(t *testing.T) {
	only := os.Getenv("ONCE_FLIP_SWEEP")
	whole := only != ""
	modes := []string{"page", "fsync"}
	if whole {
		modes = append(modes, "txn")
	}
	h := newHost(t)
	fixed, seed := rand.New(rand.NewSource(1)), time.Now().UnixNano()
	var all []*damage
	for _, s := range sweepStates(t, h, modes...) {
		s.learn(t, h)
		all = append(all, s.damages(fixed)...)
	}
	part, parts := partOf(only)
	if whole && parts == 0 {
		all = slices.DeleteFunc(all, func(d *damage) bool { return !strings.Contains(d.String(), only) })
	}
	order := fixed.Perm(len(all))
	if parts > 1 {
		order = order[len(order)*(part-1)/parts : len(order)*part/parts]
	}
	if !whole {
		t.Logf("seed %d", seed)
		order = append(order[:sweepSample/2], rand.New(rand.NewSource(seed)).Perm(len(all))[:sweepSample/2]...)
	}
	var count [outcomes]int
	for _, i := range order {
		d := all[i]
		came, problems := d.suffer(h)
		count[came]++
		if len(problems) > 0 {
			t.Errorf("%v: %s\n%s", d, outcomeNames[came], strings.Join(problems, "\n"))
		}
	}
	t.Logf("%d damages: nobody noticed %d, %d cut a tail, %d took their partition offline, %d refused the start",
		len(order), count[same], count[cut], count[offline], count[refused])
}

// partOf reads which part of the sweep is to be run, as in 3/8; everything is one part of one. parts is 0 for anything
// else.
func partOf(text string) (part, parts int) {
	if text == "1" {
		return 1, 1
	}
	if n, err := fmt.Sscanf(text, "%d/%d", &part, &parts); n != 2 || err != nil || part < 1 || part > parts {
		return 0, 0
	}
	return part, parts
}

// pinned returns damages that were once not served to nobody, or that the check has said something else of.
func pinned(t *testing.T, states []*sweepState) (all []*damage) {
	add := func(state, partition, suffix string, what string,
		change func(s *sweepState, content []byte, batches []int) []byte) {
		t.Helper()
		i := slices.IndexFunc(states, func(s *sweepState) bool { return s.name == state })
		files := slices.DeleteFunc(states[i].files(), func(file string) bool {
			return file != partition && (!strings.HasPrefix(file, partition+"/") || !strings.HasSuffix(file, suffix))
		})
		if len(files) == 0 {
			t.Fatalf("%s has no %s in %s", state, suffix, partition)
		}
		file := files[len(files)-1]
		if suffix != log.LogSuffix {
			file = files[0]
		}
		all = append(all, &damage{state: states[i], file: file, what: what, apply: func(b []byte) []byte {
			return change(states[i], b, batchesOf(file, b))
		}})
	}
	flip := func(at int) func(*sweepState, []byte, []int) []byte {
		return func(_ *sweepState, b []byte, _ []int) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	add("page, clean stop", "aged-0", log.SnapshotSuffix, "snapshot at the first segment damaged", flip(30))
	add("page, clean stop", "zipped-0", "leader-epoch-checkpoint", "last epoch begins elsewhere", flip(-2))
	add("page, clean stop", sweepCompacted, log.LogSuffix, "a batch says the last offset",
		func(s *sweepState, b []byte, batches []int) []byte {
			binary.BigEndian.PutUint64(b[batches[1]:], uint64(s.points[sweepCompacted]-1))
			return b
		})
	add("page, clean stop", sweepCompacted, log.LogSuffix, "a record count of 2^30",
		func(_ *sweepState, b []byte, batches []int) []byte {
			b[batches[0]+57] ^= 0x40
			return b
		})
	add("page, kill", "__transaction_state-0", log.LogSuffix, "the newest decisions cut", flip(-900))
	add("fsync, kill", "__transaction_state-0", log.LogSuffix, "cut below the barrier",
		func(_ *sweepState, b []byte, batches []int) []byte {
			return b[:batches[len(batches)/4]]
		})
	add("fsync, power cut", durability.JournalFile, "", "cut in its first page",
		func(_ *sweepState, b []byte, _ []int) []byte { return b[:16] })
	return all
}

func TestDamageThatWasOnceServed(t *testing.T) {
	h := newHost(t)
	states := sweepStates(t, h, "page", "fsync")
	for _, s := range states {
		s.learn(t, h)
	}
	var count [outcomes]int
	for _, d := range pinned(t, states) {
		came, problems := d.suffer(h)
		count[came]++
		t.Logf("%v: %s", d, outcomeNames[came])
		if len(problems) > 0 {
			t.Errorf("%v: %s\n%s", d, outcomeNames[came], strings.Join(problems, "\n"))
		}
	}
	if slices.Contains(count[:], 0) {
		t.Errorf("one outcome is missing: %v", count)
	}
}
