package tools

import (
	"context"
	"encoding/csv"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// resetOptions say to which offsets a group is set.
type resetOptions struct {
	earliest, latest, current bool
	offset, shift             int64
	duration, datetime        string
	file                      string
	dryRun, execute, export   bool
	offsetGiven, shiftGiven   bool
}

// scenarios are the options of which a reset takes one. A share group has no committed offset to shift, and none by
// duration.
var scenarios = []string{
	"shift-by", "to-offset", "to-earliest", "to-current", "to-latest", "by-duration", "to-datetime", "from-file",
}

func (o *resetOptions) flags(f *pflag.FlagSet, kind string) {
	f.BoolVar(&o.earliest, "to-earliest", false, "reset to the earliest offset")
	f.BoolVar(&o.latest, "to-latest", false, "reset to the latest offset")
	f.BoolVar(&o.current, "to-current", false, "reset to the committed offset")
	f.Int64Var(&o.offset, "to-offset", 0, "reset to an `offset`")
	f.StringVar(&o.datetime, "to-datetime", "", "reset to the offset of a time, `YYYY-MM-DDThh:mm:ss.sss`")
	f.StringVar(&o.file, "from-file", "",
		"reset to the offsets of a `file` with lines TOPIC,PARTITION,OFFSET, of several groups with the group before")
	if kind != "share" {
		f.Int64Var(&o.shift, "shift-by", 0, "add a `number` to the committed offset")
		f.StringVar(&o.duration, "by-duration", "", "reset to the offset of a time ago, `PnDTnHnMnS`")
	}
	f.BoolVar(&o.dryRun, "dry-run", false, "only print the new offsets")
	f.BoolVar(&o.execute, "execute", false, "set the new offsets")
	f.BoolVar(&o.export, "export", false, "print the new offsets as lines for --from-file")
}

func (o *resetOptions) given(f *pflag.FlagSet) {
	o.offsetGiven, o.shiftGiven = f.Changed("to-offset"), f.Changed("shift-by")
}

// validateReset returns the error for the options of a reset that do not fit.
func (g *groupTool) validateReset(f *pflag.FlagSet) error {
	o := &g.options
	unsaid := !o.target.dryRun && !o.target.execute
	if unsaid && g.kind == "consumer" {
		g.print("WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will " +
			"require either --dry-run or --execute to be specified. You should add the --dry-run option explicitly if you are " +
			"scripting this command and want to keep the current default behavior without prompting.\n")
	}
	for i, scenario := range scenarios {
		if err := clash(f, scenario, scenarios[i+1:]...); err != nil {
			return err
		}
	}
	hasTopics, isGiven := len(o.topics) > 0 || o.allTopics || o.target.file != "", given(f, scenarios...) > 0
	switch {
	case o.target.dryRun && o.target.execute:
		return say("Option [reset-offsets] only accepts one of [execute] and [dry-run]")
	case unsaid && g.kind != "consumer":
		return say("Option [reset-offsets] takes the option: [execute] or [dry-run]")
	case len(o.groups) == 0 && g.kind == "share":
		return say("Option [reset-offsets] takes the option: [group]")
	case len(o.groups) == 0 && !o.allGroups:
		return g.missingGroup()
	case !hasTopics && g.kind == "share":
		return say("Option [reset-offsets] takes one of these options: [all-topics], [from-file], [topic]")
	case !hasTopics:
		return say("One of the reset scopes should be defined: --%s, --%s.", g.allTopics, g.topic)
	case !isGiven && g.kind == "share":
		return say("Option [reset-offsets] takes one of these options: [from-file], [to-current], [to-datetime], " +
			"[to-earliest], [to-latest], [to-offset]")
	case !isGiven:
		return say("Option '[reset-offsets]' requires one of the following scenarios: [[%s]]",
			strings.Join(scenarios, "], ["))
	}
	return nil
}

// resetOffsets sets the offsets of groups without members, and prints them.
func (g *groupTool) resetOffsets(ctx context.Context, names []string) error {
	var rows [][]string
	for _, name := range names {
		offsets, err := g.reset(ctx, name)
		if err != nil {
			return err
		}
		for _, o := range offsets.Sorted() {
			rows = append(rows, []string{name, o.Topic, strconv.Itoa(int(o.Partition)), strconv.FormatInt(o.At, 10)})
		}
	}
	if g.options.target.export {
		lines := csv.NewWriter(g.stdout)
		for _, row := range rows {
			if len(names) == 1 {
				row = row[1:]
			}
			_ = lines.Write(row) // Flush has the error
		}
		lines.Flush()
		return lines.Error()
	}
	width := 15
	if g.kind == "streams" {
		width = 30
	}
	g.print("\n")
	printColumns(g.stdout, []column{growing("GROUP", width), growing("TOPIC", width), fixed("PARTITION", 10),
		fixed("NEW-OFFSET", 0)}, rows)
	return nil
}

// reset sets the offsets of one group, and returns them. What it cannot do it prints, as Kafka's tools do.
func (g *groupTool) reset(ctx context.Context, name string) (kadm.Offsets, error) {
	groups, err := listedGroups(ctx, g.client, g.types, nil)
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		switch {
		case group.Group != name || group.GroupState == "Empty" || group.GroupState == "Dead":
		case g.kind == "share":
			return nil, g.fail("Share group '%s' is not empty.", name)
		default:
			g.print("\nError: Assignments can only be reset if the group '%s' is inactive, but the current state is %s.\n", name,
				group.GroupState)
			return nil, nil
		}
	}
	offsets, err := g.newOffsets(ctx, name)
	if err != nil || !g.options.target.execute || len(offsets) == 0 {
		return offsets, err
	}
	if g.kind == "share" {
		return offsets, g.alterShareOffsets(ctx, name, offsets)
	}
	return offsets, g.admin.CommitAllOffsets(ctx, name, offsets)
}

// alterShareOffsets sets the start offsets of a share group.
func (g *groupTool) alterShareOffsets(ctx context.Context, name string, offsets kadm.Offsets) error {
	r := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	r.GroupID = name
	var all []string
	for topic, partitions := range offsets {
		of := kmsg.NewAlterShareGroupOffsetsRequestTopic()
		of.Topic = topic
		for p, at := range partitions {
			partition := kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()
			partition.Partition, partition.StartOffset = p, at.At
			of.Partitions = append(of.Partitions, partition)
			all = append(all, fmt.Sprintf("%s-%d", topic, p))
		}
		r.Topics = append(r.Topics, of)
	}
	answer, err := r.RequestWith(ctx, g.client)
	if err != nil {
		return err
	}
	if answer.ErrorCode != 0 {
		return notAltered(messageOf(answer.ErrorCode, answer.ErrorMessage), all)
	}
	var why string
	var failed []string
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				why = messageOf(p.ErrorCode, p.ErrorMessage)
				failed = append(failed, fmt.Sprintf("%s-%d", t.Topic, p.Partition))
			}
		}
	}
	if len(failed) > 0 {
		return notAltered(why, failed)
	}
	return nil
}

func notAltered(why string, partitions []string) error {
	slices.Sort(partitions)
	return say("%s Failed altering group offsets for the following partitions: [%s]", why, strings.Join(partitions, ", "))
}

// newOffsets returns the offsets that the group shall have, each within the log.
func (g *groupTool) newOffsets(ctx context.Context, group string) (kadm.Offsets, error) {
	current, err := g.currentOffsets(ctx, group)
	if err != nil {
		return nil, err
	}
	wanted := kadm.Offsets{}
	scope := kadm.TopicsSet{}
	switch o := g.options; {
	case o.target.file != "":
		if wanted, err = fileOffsets(o.target.file, group, len(o.groups) > 1 || o.allGroups); err != nil {
			g.print("\nError: No reset plan for group %s found.\n", group)
			return nil, nil
		}
		wanted.Each(func(at kadm.Offset) { scope.Add(at.Topic, at.Partition) })
	case o.allTopics:
		current.Each(func(at kadm.Offset) { scope.Add(at.Topic, at.Partition) })
	default:
		if scope, err = partitionScope(ctx, g.admin, o.topics); err != nil {
			return nil, err
		}
		if g.kind == "streams" && !isWithin(scope, current) {
			g.print("\nError: One or more topics are not part of the group '%s'.\n", group)
			return nil, nil
		}
	}
	if len(scope) == 0 {
		return nil, nil
	}
	bounds, err := g.bounds(ctx, scope)
	if err != nil {
		return nil, err
	}
	offsets := kadm.Offsets{}
	for _, p := range sortedPartitions(scope) {
		at, err := g.newOffset(p, bounds, current, wanted)
		if err != nil {
			return nil, err
		}
		offsets.AddOffset(p.topic, p.partition, at, -1)
	}
	return offsets, nil
}

// currentOffsets returns the committed offsets of a group, or the start offsets of a share group.
func (g *groupTool) currentOffsets(ctx context.Context, group string) (kadm.Offsets, error) {
	current := kadm.Offsets{}
	if g.kind == "share" {
		described, err := g.admin.DescribeShareGroupOffsets(ctx, group)
		if err != nil {
			return nil, err
		}
		for _, o := range described[group].Offsets.Sorted() {
			current.AddOffset(o.Topic, o.Partition, o.StartOffset, -1)
		}
		return current, nil
	}
	committed, err := g.admin.FetchOffsets(ctx, group)
	committed.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			current.Add(o.Offset)
		}
	})
	return current, err
}

// bounds are the first and the last offset of partitions, and those of the time that is asked for.
type bounds struct{ starts, ends, timed kadm.ListedOffsets }

func (g *groupTool) bounds(ctx context.Context, scope kadm.TopicsSet) (b bounds, err error) {
	topics := scope.Topics()
	if b.starts, err = g.admin.ListStartOffsets(ctx, topics...); err != nil {
		return b, err
	}
	if b.ends, err = g.admin.ListEndOffsets(ctx, topics...); err != nil {
		return b, err
	}
	var missing []string
	for _, p := range sortedPartitions(scope) {
		if end, ok := b.ends.Lookup(p.topic, p.partition); !ok || end.Err != nil {
			missing = append(missing, fmt.Sprintf("%s-%d", p.topic, p.partition))
		}
	}
	if len(missing) > 0 {
		return b, say("The partitions \"%s\" do not exist", strings.Join(missing, ", "))
	}
	if target := g.options.target; target.duration != "" || target.datetime != "" {
		at, err := target.time(time.Now())
		if err != nil {
			return b, err
		}
		b.timed, err = g.admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), topics...)
		return b, err
	}
	return b, nil
}

// newOffset returns the offset that the group shall have for one partition.
func (g *groupTool) newOffset(p topicPartition, b bounds, current, wanted kadm.Offsets) (int64, error) {
	target := g.options.target
	start, _ := b.starts.Lookup(p.topic, p.partition)
	end, _ := b.ends.Lookup(p.topic, p.partition)
	now, has := current.Lookup(p.topic, p.partition)
	at := end.Offset
	switch {
	case target.file != "":
		said, _ := wanted.Lookup(p.topic, p.partition)
		at = said.At
	case target.earliest:
		at = start.Offset
	case target.offsetGiven:
		at = target.offset
	case target.shiftGiven && !has:
		return 0, say("Cannot shift offset for partition %s-%d since there is no current committed offset", p.topic,
			p.partition)
	case target.shiftGiven:
		at = now.At + target.shift
	case target.current && has && now.At >= 0:
		at = now.At
	case b.timed != nil:
		if start.Offset == end.Offset {
			g.print("\nWarn: Partition %d from topic %s is empty. Falling back to latest known offset.\n", p.partition, p.topic)
		}
		if found, ok := b.timed.Lookup(p.topic, p.partition); ok && found.Err == nil {
			at = found.Offset
		}
	}
	return min(max(at, start.Offset), end.Offset), nil
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
