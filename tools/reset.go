package tools

import (
	"context"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
)

// resetOptions say to which offsets a group is set.
type resetOptions struct {
	earliest, latest, current bool
	offset, shift             int64
	duration, datetime        string
	dryRun, execute           bool
	offsetGiven, shiftGiven   bool
}

func (o *resetOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.earliest, "to-earliest", false, "reset to the earliest offset")
	f.BoolVar(&o.latest, "to-latest", false, "reset to the latest offset")
	f.BoolVar(&o.current, "to-current", false, "reset to the committed offset")
	f.Int64Var(&o.offset, "to-offset", 0, "reset to an `offset`")
	f.Int64Var(&o.shift, "shift-by", 0, "add a `number` to the committed offset")
	f.StringVar(&o.duration, "by-duration", "", "reset to the offset of a time ago, `PnDTnHnMnS`")
	f.StringVar(&o.datetime, "to-datetime", "", "reset to the offset of a time, `YYYY-MM-DDThh:mm:ss.sss`")
	f.BoolVar(&o.dryRun, "dry-run", false, "only print the new offsets")
	f.BoolVar(&o.execute, "execute", false, "commit the new offsets")
}

func (o *resetOptions) given(f *pflag.FlagSet) {
	o.offsetGiven, o.shiftGiven = f.Changed("to-offset"), f.Changed("shift-by")
}

func (o resetOptions) validate(scoped bool) error {
	ways := 0
	for _, given := range []bool{o.earliest, o.latest, o.current, o.offsetGiven, o.shiftGiven, o.duration != "",
		o.datetime != ""} {
		if given {
			ways++
		}
	}
	switch {
	case o.dryRun && o.execute:
		return say("Option [reset-offsets] only accepts one of [dry-run], [execute]")
	case !scoped:
		return say("Option [reset-offsets] takes one of these options: all-topics, topic")
	case ways != 1:
		return say("Option [reset-offsets] takes exactly one of these options: to-earliest, to-latest, to-current, " +
			"to-offset, shift-by, " +
			"by-duration, to-datetime")
	}
	return nil
}

func (e *env) resetOffsets(ctx context.Context, admin *kadm.Client, o groupsOptions, names []string) error {
	if !o.target.dryRun && !o.target.execute {
		e.print("WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will " +
			"require either " +
			"--dry-run or --execute to be specified. You should add the --dry-run option explicitly if you are scripting " +
			"this command and " +
			"want to keep the current default behavior without prompting.\n")
	}
	for _, name := range names {
		described, err := admin.DescribeGroups(ctx, name)
		if err != nil {
			return err
		}
		if state := described[name].State; state != "Empty" && state != "Dead" {
			e.print("\nError: Assignments can only be reset if the group '%s' is inactive, but the current state is %s.\n", name,
				state)
			e.print("\n%-15s %-15s %-10s %s\n", "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")
			continue // as Kafka's tool does
		}
		offsets, err := e.newOffsets(ctx, admin, o, name)
		if err != nil {
			return err
		}
		if o.target.execute && len(offsets) > 0 {
			if err := admin.CommitAllOffsets(ctx, name, offsets); err != nil {
				return err
			}
		}
		group, topic := max(15, len(name)), 15
		for t := range offsets {
			topic = max(topic, len(t))
		}
		e.print("\n%-*s %-*s %-10s %s\n", group, "GROUP", topic, "TOPIC", "PARTITION", "NEW-OFFSET")
		for _, offset := range offsets.Sorted() {
			e.print("%-*s %-*s %-10d %d\n", group, name, topic, offset.Topic, offset.Partition, offset.At)
		}
	}
	return nil
}

// newOffsets returns the offsets that the group shall have, each within the log.
func (e *env) newOffsets(ctx context.Context, admin *kadm.Client, o groupsOptions, group string) (kadm.Offsets, error) {
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return nil, err
	}
	scope := kadm.TopicsSet{}
	if o.allTopics {
		committed.Each(func(r kadm.OffsetResponse) { scope.Add(r.Topic, r.Partition) })
	} else if scope, err = partitionScope(ctx, admin, o.topics); err != nil {
		return nil, err
	}
	offsets := kadm.Offsets{}
	if len(scope) == 0 {
		return offsets, nil
	}
	starts, err := admin.ListStartOffsets(ctx, scope.Topics()...)
	if err != nil {
		return nil, err
	}
	ends, err := admin.ListEndOffsets(ctx, scope.Topics()...)
	if err != nil {
		return nil, err
	}
	var timed kadm.ListedOffsets
	if o.target.duration != "" || o.target.datetime != "" {
		at, err := o.target.time(time.Now())
		if err != nil {
			return nil, err
		}
		if timed, err = admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), scope.Topics()...); err != nil {
			return nil, err
		}
	}
	for _, t := range scope.Sorted() {
		for _, p := range t.Partitions {
			start, okStart := starts.Lookup(t.Topic, p)
			end, okEnd := ends.Lookup(t.Topic, p)
			if !okStart || !okEnd || start.Err != nil || end.Err != nil {
				return nil, say("The partition %s-%d does not exist", t.Topic, p)
			}
			now, ok := committed.Lookup(t.Topic, p)
			has := ok && now.Err == nil && now.At >= 0
			to := end.Offset
			switch {
			case o.target.earliest:
				to = start.Offset
			case o.target.offsetGiven:
				to = o.target.offset
			case o.target.shiftGiven && !has:
				return nil, say("Cannot shift offset for partition %s-%d since there is no current committed offset", t.Topic, p)
			case o.target.shiftGiven:
				to = now.At + o.target.shift
			case o.target.current && has:
				to = now.At
			case timed != nil:
				if start.Offset == end.Offset {
					e.print("\nWarn: Partition %d from topic %s is empty. Falling back to latest known offset.\n", p, t.Topic)
				}
				if found, ok := timed.Lookup(t.Topic, p); ok && found.Err == nil {
					to = found.Offset
				}
			}
			offsets.AddOffset(t.Topic, p, min(max(to, start.Offset), end.Offset), -1)
		}
	}
	return offsets, nil
}

// isoDuration is Java's Duration: days, hours, minutes and seconds.
var isoDuration = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?$`)
})

// time returns the point of time that --by-duration or --to-datetime means.
func (o resetOptions) time(now time.Time) (time.Time, error) {
	if o.duration != "" {
		parts := isoDuration().FindStringSubmatch(o.duration)
		if parts == nil {
			return now, say("Text cannot be parsed to a Duration: %s; write PnDTnHnMnS", o.duration)
		}
		var total time.Duration
		for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
			n, _ := strconv.Atoi("0" + parts[i+1])
			total += time.Duration(n) * unit
		}
		return now.Add(-total), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05.000Z07:00", "2006-01-02T15:04:05Z07:00",
		"2006-01-02T15:04:05.000", "2006-01-02T15:04:05"} {
		if at, err := time.ParseInLocation(layout, o.datetime, time.UTC); err == nil {
			return at, nil
		}
	}
	return now, say("--to-datetime %s: write YYYY-MM-DDThh:mm:ss.sss, with Z or +hh:mm for another zone than UTC",
		o.datetime)
}
