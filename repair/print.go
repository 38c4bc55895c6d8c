package repair

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"once/inspect"
	"once/log/salvage"
)

// maxRanges bounds how many ranges of offsets a line names.
const maxRanges = 20

// printPlan prints the damage, what a repair does, and what is lost.
func printPlan(w io.Writer, plan *inspect.RepairPlan) error {
	var b strings.Builder
	for i := range plan.Partitions {
		printPartition(&b, &plan.Partitions[i])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printPartition(b *strings.Builder, r *inspect.PartitionRepair) {
	if len(r.Missing) > 0 {
		fmt.Fprintf(b, "damage partition=%s: segments are missing\n", r.DirBase)
		fmt.Fprintf(b, "  lost: offsets %s\n", ranges(r.Missing))
	}
	for i := range r.Segments {
		printSegment(b, r, &r.Segments[i])
	}
	if r.BeginAt >= 0 {
		fmt.Fprintf(b, "  partition=%s: a new segment begins at offset %d, where the log goes on: no offset is given twice\n",
			r.DirBase, r.BeginAt)
	}
	printLeft(b, r)
	for _, x := range r.InDoubt {
		now := "It is open, and readers of committed records stop there, until the next start ends it as the " +
			"transaction log has it, or, where that has nothing of the producer any more, an administrator does"
		if x.Ended {
			now = fmt.Sprintf("The next marker of the producer, %v at offset %d, ends it now, whatever became of it before",
				x.Marker, x.MarkerOffset)
		}
		fmt.Fprintf(b, "  partition=%s: the marker of a transaction may be lost: producer %d, from offset %d on. %s.\n",
			r.DirBase, x.ProducerID, x.FirstOffset, now)
	}
}

func printSegment(b *strings.Builder, r *inspect.PartitionRepair, s *salvage.SegmentRepair) {
	file := func(name string) string { return path.Join(r.DirBase, name) }
	switch {
	case s.Action == salvage.Finish:
		fmt.Fprintf(b, "unfinished file=%s: an earlier repair was interrupted, and is ended\n", file(s.Name))
		return
	case s.ByCleaner:
		fmt.Fprintf(b, "damage file=%s position=%d: destroyed by the log cleaner of a version from c59de1e to 5d94261\n",
			file(s.Name), s.Damage.Position)
	default:
		fmt.Fprintf(b, "damage file=%s position=%d: %v\n", file(s.Name), s.Damage.Position, s.Damage.Cause)
	}
	switch s.Action {
	case salvage.Withdraw:
		b.WriteString("  compaction was interrupted: the segments that this file was to replace are still there, and stay\n")
	case salvage.KeepFile:
		fmt.Fprintf(b, "  all its %d batches are whole and stay\n", s.Batches())
	default:
		fmt.Fprintf(b, "  %d batches are whole: they stay, at their offsets, in a segment that takes its place\n",
			s.Batches())
	}
	if s.Aside != "" {
		fmt.Fprintf(b, "  the damaged file is kept as %s\n", file(s.Aside))
	}
	switch {
	case s.Action == salvage.Withdraw, len(s.Lost) == 0:
		fmt.Fprintf(b, "  lost: nothing\n")
	case r.Compacted:
		fmt.Fprintf(b, "  lost: what compaction had left of offsets %s\n", ranges(s.Lost))
	default:
		fmt.Fprintf(b, "  lost: offsets %s\n", ranges(s.Lost))
	}
}

// printLeft prints the groups or transactional IDs that remain after the repair of an internal topic's partition.
func printLeft(b *strings.Builder, r *inspect.PartitionRepair) {
	var left []string
	what, others := "", ""
	switch {
	case r.Groups != nil:
		for _, group := range slices.Sorted(maps.Keys(r.Groups)) {
			left = append(left, fmt.Sprintf("    group=%q committed_offsets=%d\n", group, r.Groups[group]))
		}
		what = "groups whose offsets can still be read"
		others = "Other groups of this partition may be lost, and so may offsets of these; some may go back to older values"
	case r.TransactionalIDs != nil:
		for _, id := range slices.Sorted(maps.Keys(r.TransactionalIDs)) {
			left = append(left, fmt.Sprintf("    transactional_id=%q state=%v\n", id, r.TransactionalIDs[id]))
		}
		what = "transactional IDs that remain"
		others = "Others of this partition may be lost, and some of these may go back to an older state: a transaction " +
			"that is open in it is aborted when its time is over, although a commit may have been decided that not all " +
			"its partitions have a marker of"
	default:
		return
	}
	fmt.Fprintf(b, "  partition=%s: %s: %d\n%s  %s.\n", r.DirBase, what, len(left), strings.Join(left, ""), others)
}

func ranges(all []salvage.OffsetRange) string {
	var words []string
	for i, r := range all {
		if i == maxRanges {
			words = append(words, fmt.Sprintf("and %d more ranges up to %d", len(all)-i, all[len(all)-1].To-1))
			break
		}
		word := fmt.Sprint(r.From)
		if r.To-1 > r.From {
			word += fmt.Sprint("-", r.To-1)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// printOutcome prints what was done, and returns an error while damage is left.
func printOutcome(w io.Writer, before, left *inspect.RepairPlan, done bool) error {
	var b strings.Builder
	for _, f := range left.Beyond {
		fmt.Fprintf(&b, "not repaired: %v\n", f)
	}
	segments := 0
	for _, r := range before.Partitions {
		segments += len(r.Segments)
	}
	counts := fmt.Sprintf("partitions=%d segments=%d", len(before.Partitions), segments)
	var err error
	switch {
	case done:
		fmt.Fprintf(&b, "repaired %s\n", counts)
		for _, r := range left.Partitions {
			fmt.Fprintf(&b, "not repaired: partition=%s\n", r.DirBase)
		}
	case len(before.Partitions) > 0:
		fmt.Fprintf(&b, "would repair %s; nothing has been changed, --yes does it\n", counts)
	case len(left.Beyond) == 0:
		fmt.Fprintf(&b, "nothing to repair\n")
	}
	switch {
	case len(left.Beyond) > 0:
		err = fmt.Errorf("%w: %d findings that a repair does not mend", inspect.ErrDamaged, len(left.Beyond))
	case len(left.Partitions) > 0:
		err = fmt.Errorf("%w: partitions to repair: %d", inspect.ErrDamaged, len(left.Partitions))
	}
	if _, werr := io.WriteString(w, b.String()); werr != nil {
		return werr
	}
	return err
}
