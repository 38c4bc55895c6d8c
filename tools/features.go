package tools

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// featuresOptions are those of kafka-features.
type featuresOptions struct {
	metadata, release string
	features          []string
	unsafe, dryRun    bool
}

func featuresCommand(e *env) *cobra.Command {
	c := &cobra.Command{Args: cobra.ArbitraryArgs}
	e.connection.flags(c.PersistentFlags())
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return e.fail("Command line error: too few arguments. Type --help for help.")
		}
		return e.fail("Command line error: invalid choice: '%s' (choose from 'describe', 'upgrade', 'downgrade', 'disable', "+
			"'version-mapping', 'feature-dependencies'). Type --help for help.", args[0])
	}
	c.AddCommand(describeFeatures(e), changeFeatures(e, upgrade), changeFeatures(e, downgrade), changeFeatures(e, disable),
		versionMapping(e), featureDependencies(e))
	return c
}

func describeFeatures(e *env) *cobra.Command {
	c := &cobra.Command{Use: "describe", Short: "Describe supported and finalized features"}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.withClient(c.Context(), e.describeFeatures)
	}
	return c
}

// describeFeatures prints the features that the broker supports, with their finalized levels.
func (e *env) describeFeatures(ctx context.Context, client *kgo.Client) error {
	versions, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return err
	}
	finalized := map[string]int16{}
	for _, f := range versions.FinalizedFeatures {
		finalized[f.Name] = f.MaxVersionLevel
	}
	slices.SortFunc(versions.SupportedFeatures,
		func(a, b kmsg.ApiVersionsResponseSupportedFeature) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range versions.SupportedFeatures {
		e.print("Feature: %-40s  SupportedMinVersion: %-15s  SupportedMaxVersion: %-15s  FinalizedVersionLevel: %-15s  "+
			"Epoch: %d\n", f.Name,
			levelName(f.Name, f.MinVersion), levelName(f.Name, f.MaxVersion), levelName(f.Name, finalized[f.Name]),
			versions.FinalizedFeaturesEpoch)
	}
	return nil
}

// levelName is how a level is printed: those of metadata.version have names.
func levelName(feature string, level int16) string {
	if i := slices.IndexFunc(releases, func(r release) bool { return r.level == level }); feature == metadataVersion &&
		i >= 0 {
		return releases[i].name
	}
	return strconv.Itoa(int(level))
}

// operation is a way to change features.
type operation struct{ verb, done, short string }

var (
	upgrade   = operation{"upgrade", "upgraded", "Raise the levels of features"}
	downgrade = operation{"downgrade", "downgraded", "Lower the levels of features"}
	disable   = operation{"disable", "disabled", "Set features to level 0"}
)

func changeFeatures(e *env, op operation) *cobra.Command {
	var o featuresOptions
	c := &cobra.Command{Use: op.verb, Short: op.short}
	f := c.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "check, and change nothing")
	if op == disable {
		f.StringArrayVar(&o.features, "feature", nil, "a `feature` to disable; repeatable")
	} else {
		f.StringArrayVar(&o.features, "feature", nil, "a feature and its level, `FEATURE=LEVEL`; repeatable")
		f.StringVar(&o.metadata, "metadata", "", "the same as --feature metadata.version=`LEVEL`, by the name of the level")
		f.StringVar(&o.release, "release-version", "", "all features at the levels of a `release`")
	}
	if op != upgrade {
		f.BoolVar(&o.unsafe, "unsafe", false, "also where that loses data")
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		levels, err := e.levels(o, op)
		if err != nil {
			return err
		}
		if len(levels) == 0 {
			return e.fail("You must specify at least one feature to %s", op.verb)
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			return e.updateFeatures(ctx, client, o, op, levels)
		})
	}
	return c
}

// levels returns the levels that the options ask for.
func (e *env) levels(o featuresOptions, op operation) (map[string]int16, error) {
	levels := map[string]int16{}
	if o.release != "" {
		if len(o.features) > 0 || o.metadata != "" {
			return nil, e.fail("Can not specify `release-version` with other feature flags.")
		}
		r, err := e.release(o.release)
		for name, level := range r.features() {
			if level > 0 || op == downgrade {
				levels[name] = level
			}
		}
		return levels, err
	}
	if o.metadata != "" {
		e.print(" `metadata` flag is deprecated and may be removed in a future release.\n")
		r, err := e.release(o.metadata)
		if err != nil {
			return nil, err
		}
		levels[metadataVersion] = r.level
	}
	for _, feature := range o.features {
		name, level := strings.TrimSpace(feature), int16(0)
		if op != disable {
			var err error
			if name, level, err = e.parseLevel(feature); err != nil {
				return nil, err
			}
		}
		if _, again := levels[name]; again {
			return nil, e.fail("Feature %s was specified more than once.", name)
		}
		levels[name] = level
	}
	return levels, nil
}

func (e *env) parseLevel(feature string) (name string, level int16, err error) {
	name, value, ok := strings.Cut(feature, "=")
	if !ok {
		return "", 0, e.fail("Can't parse feature=level string %s: equals sign not found.", feature)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 16)
	if err != nil {
		return "", 0, e.fail("Can't parse feature=level string %s: unable to parse %s as a short.", feature, value)
	}
	return strings.TrimSpace(name), int16(n), nil
}

func (e *env) updateFeatures(ctx context.Context, client *kgo.Client, o featuresOptions, op operation,
	levels map[string]int16) error {
	r := kmsg.NewPtrUpdateFeaturesRequest()
	r.ValidateOnly = o.dryRun
	names := slices.Sorted(maps.Keys(levels))
	for _, name := range names {
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = name, levels[name], 1
		if op != upgrade {
			u.UpgradeType, u.AllowDowngrade = 2, true
		}
		if o.unsafe {
			u.UpgradeType = 3
		}
		r.FeatureUpdates = append(r.FeatureUpdates, u)
	}
	answer, err := r.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	refused := map[string]string{}
	if answer.ErrorCode != 0 {
		for _, name := range names {
			refused[name] = messageOf(answer.ErrorCode, answer.ErrorMessage)
		}
	}
	for _, result := range answer.Results {
		if result.ErrorCode != 0 {
			refused[result.Feature] = messageOf(result.ErrorCode, result.ErrorMessage)
		}
	}
	return e.reportFeatures(names, levels, refused, o.dryRun, op)
}

func (e *env) reportFeatures(names []string, levels map[string]int16, refused map[string]string, dryRun bool,
	op operation) error {
	could, was := "Could not ", " was "
	if dryRun {
		could, was = "Can not ", " can be "
	}
	for _, name := range names {
		to := fmt.Sprintf(" to %d", levels[name])
		if op == disable {
			to = ""
		}
		if why, ok := refused[name]; ok {
			e.print("%s%s %s%s. %s\n", could, op.verb, name, to, why)
		} else {
			e.print("%s%s%s%s.\n", name, was, op.done, to)
		}
	}
	if len(refused) > 0 {
		return e.fail("%d out of %d operation(s) failed.", len(refused), len(names))
	}
	return nil
}

func versionMapping(e *env) *cobra.Command {
	var name string
	c := &cobra.Command{Use: "version-mapping", Short: "Print the levels of features in a release"}
	c.Flags().StringVarP(&name, "release-version", "r", latestRelease, "the `release`")
	c.RunE = func(*cobra.Command, []string) error {
		r, err := e.release(name)
		if err != nil {
			return err
		}
		e.print("%s=%d (%s)\n", metadataVersion, r.level, r.name)
		levels := r.features()
		for _, f := range featureNames {
			e.print("%s=%d\n", f, levels[f])
		}
		return nil
	}
	return c
}

func featureDependencies(e *env) *cobra.Command {
	var features []string
	c := &cobra.Command{Use: "feature-dependencies", Short: "Print what levels of features require"}
	c.Flags().StringArrayVarP(&features, "feature", "f", nil, "a feature and its level, `FEATURE=LEVEL`; repeatable")
	c.RunE = func(*cobra.Command, []string) error {
		if len(features) == 0 && e.tool == "storage" {
			return say("kafka-storage: error: argument --feature/-f is required")
		}
		if len(features) == 0 {
			return e.fail("Command line error: argument --feature is required. Type --help for help.")
		}
		for _, feature := range features {
			name, level, err := e.parseLevel(feature)
			if err != nil {
				return err
			}
			if err := e.printDependencies(name, level); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

func (e *env) printDependencies(name string, level int16) error {
	highest := releases[len(releases)-1].features()
	most, known := highest[name]
	switch {
	case !known:
		return e.fail("Unknown feature: %s", name)
	case level > most && name != metadataVersion && e.tool == "storage":
		return e.fail("Feature level %d is not supported for feature %s", level, name)
	case level < 0 || level > most, name == metadataVersion && level < releases[0].level:
		return e.fail("No feature:%s with feature level %d", name, level)
	}
	shown := fmt.Sprintf("%s=%d", name, level)
	if name == metadataVersion {
		shown += " (" + levelName(name, level) + ")"
	}
	if name == "eligible.leader.replicas.version" && level > 0 {
		e.print("%s requires:\n    metadata.version=23 (4.0-IV1)\n", shown)
		return nil
	}
	e.print("%s has no dependencies.\n", shown)
	return nil
}
