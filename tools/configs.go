package tools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// configsOptions are those of kafka-configs.
type configsOptions struct {
	describe, alter, all             bool
	entityType, entityName           string
	entityDefault                    bool
	topic, broker                    string
	brokerDefaults                   bool
	add                              []string
	addFile                          string
	delete                           []string
	entityNameGiven, entityTypeGiven bool
}

func configsCommand(e *env) *cobra.Command {
	var o configsOptions
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.BoolVar(&o.describe, "describe", false, "print settings")
	f.BoolVar(&o.alter, "alter", false, "change settings")
	f.BoolVar(&o.all, "all", false, "describe all settings, those with their default values too")
	f.StringVar(&o.entityType, "entity-type", "", "`topics or brokers`")
	f.StringVar(&o.entityName, "entity-name", "", "name of the topic or ID of the broker")
	f.BoolVar(&o.entityDefault, "entity-default", false, "the default of all brokers")
	f.StringVar(&o.topic, "topic", "", "the same as --entity-type topics --entity-name `TOPIC`")
	f.StringVar(&o.broker, "broker", "", "the same as --entity-type brokers --entity-name `ID`")
	f.BoolVar(&o.brokerDefaults, "broker-defaults", false, "the same as --entity-type brokers --entity-default")
	f.StringArrayVar(&o.add, "add-config", nil, "settings, `NAME=VALUE,NAME=[VALUE,VALUE]`")
	f.StringVar(&o.addFile, "add-config-file", "", "a property `file` with settings")
	f.StringArrayVar(&o.delete, "delete-config", nil, "settings to go back to their default, `NAME,NAME`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.entityNameGiven, o.entityTypeGiven = f.Changed("entity-name"), f.Changed("entity-type")
		if err := o.resolve(f.Changed("topic"), f.Changed("broker")); err != nil {
			return err
		}
		ctx, admin, done, err := e.admin(c.Context())
		if err != nil {
			return err
		}
		defer done()
		if o.describe {
			return e.describeConfigs(ctx, admin, o)
		}
		return e.alterConfigs(ctx, admin, o)
	}
	return c
}

// resolve turns the short forms into entity type and name.
func (o *configsOptions) resolve(topic, broker bool) error {
	if o.describe == o.alter {
		return say("Command must include exactly one action: --describe, --alter")
	}
	if topic {
		o.entityType, o.entityName, o.entityNameGiven = "topics", o.topic, true
	}
	if broker {
		o.entityType, o.entityName, o.entityNameGiven = "brokers", o.broker, true
	}
	if o.brokerDefaults {
		o.entityType, o.entityDefault = "brokers", true
	}
	switch o.entityType {
	case "":
		return say("At least one entity type must be specified")
	case "topics", "brokers":
	default:
		return fmt.Errorf("--entity-type %s is not built here; use kafka-configs.sh of Apache Kafka, which works with "+
			"this broker", o.entityType)
	}
	switch {
	case o.alter && !o.entityNameGiven && !o.entityDefault:
		return say("an entity-name or default entity must be specified with --alter of %s", o.entityType)
	case o.alter && len(o.add) == 0 && o.addFile == "" && len(o.delete) == 0:
		return say("At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter")
	case o.entityType == "brokers" && o.entityNameGiven:
		if _, err := strconv.Atoi(o.entityName); err != nil {
			return say("The entity name for brokers must be a valid integer broker id, but it is: %s", o.entityName)
		}
	}
	return nil
}

func (e *env) describeConfigs(ctx context.Context, admin *kadm.Client, o configsOptions) error {
	if o.entityType == "brokers" {
		return e.describeBrokers(ctx, admin, o)
	}
	names := []string{o.entityName}
	if !o.entityNameGiven {
		topics, err := admin.ListTopicsWithInternal(ctx)
		if err != nil {
			return err
		}
		names = topics.Names()
	}
	described, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return err
	}
	for _, name := range names {
		r, err := described.On(name, func(r *kadm.ResourceConfig) error { return r.Err })
		if err != nil {
			if o.entityNameGiven {
				e.print("The topic '%s' doesn't exist and doesn't have dynamic config.\n", name)
				return nil // as Kafka's tool does
			}
			return err
		}
		e.printConfigs("topic "+name, r, o.all, kmsg.ConfigSourceDynamicTopicConfig)
	}
	return nil
}

func (e *env) describeBrokers(ctx context.Context, admin *kadm.Client, o configsOptions) error {
	if o.entityDefault {
		e.print("Default configs for brokers in the cluster are:\n")
		return nil
	}
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	known := brokers.NodeIDs()
	ids := known
	if o.entityNameGiven {
		id, _ := strconv.Atoi(o.entityName)
		ids = []int32{int32(id)}
	}
	for _, id := range ids {
		if !slices.Contains(known, id) {
			e.print("The broker '%d' doesn't exist and doesn't have dynamic config.\n", id)
			continue // as Kafka's tool does
		}
		described, err := admin.DescribeBrokerConfigs(ctx, id)
		if err != nil {
			return err
		}
		r, err := described.On(strconv.Itoa(int(id)), func(r *kadm.ResourceConfig) error { return r.Err })
		if err != nil {
			return err
		}
		e.printConfigs(fmt.Sprintf("broker %d", id), r, o.all, kmsg.ConfigSourceDynamicBrokerConfig)
	}
	if !o.entityNameGiven {
		e.print("Default configs for brokers in the cluster are:\n")
	}
	return nil
}

func (e *env) printConfigs(entity string, r kadm.ResourceConfig, all bool, own kmsg.ConfigSource) {
	kind := "Dynamic"
	if all {
		kind = "All"
	}
	e.print("%s configs for %s are:\n", kind, entity)
	configs := slices.Clone(r.Configs)
	slices.SortFunc(configs, func(a, b kadm.Config) int { return strings.Compare(a.Key, b.Key) })
	for _, c := range configs {
		if !all && c.Source != own {
			continue
		}
		value := "null"
		if c.Value != nil {
			value = *c.Value
		}
		var synonyms []string
		for _, s := range c.Synonyms {
			of := "null"
			if s.Value != nil {
				of = *s.Value
			}
			synonyms = append(synonyms, fmt.Sprintf("%s:%s=%s", s.Source, s.Key, of))
		}
		e.print("  %s=%s sensitive=%t synonyms={%s}\n", c.Key, value, c.Sensitive, strings.Join(synonyms, ", "))
	}
}

func (e *env) alterConfigs(ctx context.Context, admin *kadm.Client, o configsOptions) error {
	changes, err := o.changes()
	if err != nil {
		return err
	}
	var responses kadm.AlterConfigsResponses
	entity := "topic " + o.entityName
	switch {
	case o.entityType == "topics":
		responses, err = admin.AlterTopicConfigs(ctx, changes, o.entityName)
	case o.entityDefault:
		entity = "brokers in the cluster"
		responses, err = admin.AlterBrokerConfigs(ctx, changes)
	default:
		entity = "broker " + o.entityName
		id, _ := strconv.Atoi(o.entityName)
		responses, err = admin.AlterBrokerConfigs(ctx, changes, int32(id))
	}
	if err != nil {
		return err
	}
	for _, r := range responses {
		if r.Err != nil {
			return e.fail("Error while executing config command with args '%s'\n%s", strings.Join(e.args, " "),
				reason(r.Err, r.ErrMessage))
		}
	}
	if o.entityDefault {
		e.print("Completed updating default config for %s.\n", entity)
	} else {
		e.print("Completed updating config for %s.\n", entity)
	}
	return nil
}

// changes returns what --add-config, --add-config-file and --delete-config ask for.
func (o configsOptions) changes() ([]kadm.AlterConfig, error) {
	var pairs []string
	for _, list := range o.add {
		split, err := splitConfigs(list)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, split...)
	}
	if o.addFile != "" {
		lines, err := readProperties(o.addFile)
		if errors.Is(err, os.ErrNotExist) {
			return nil, say("The file %s does not exist", o.addFile)
		}
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, lines...)
	}
	var changes []kadm.AlterConfig
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, say("Invalid entity config: all configs to be added must be in the format \"key=val\".")
		}
		value = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(value), "["), "]")
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: strings.TrimSpace(name), Value: &value})
	}
	for _, list := range o.delete {
		for _, name := range strings.Split(list, ",") {
			changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: strings.TrimSpace(name)})
		}
	}
	return changes, nil
}

// splitConfigs cuts NAME=VALUE,NAME=[VALUE,VALUE] at the commas outside of brackets.
func splitConfigs(list string) ([]string, error) {
	var pairs []string
	depth, from := 0, 0
	for i, r := range list {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == ',' && depth == 0:
			pairs = append(pairs, list[from:i])
			from = i + 1
		}
		if depth < 0 || depth > 1 {
			break
		}
	}
	if depth != 0 {
		return nil, fmt.Errorf("--add-config %s: a bracket is not closed", list)
	}
	if rest := list[from:]; rest != "" {
		pairs = append(pairs, rest)
	}
	return pairs, nil
}
