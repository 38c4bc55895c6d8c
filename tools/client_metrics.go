package tools

import (
	"context"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// subscriptionOptions are those of kafka-client-metrics.
type subscriptionOptions struct {
	alter, delete, describe, list, generate bool
	name                                    string
	changes                                 []change // of interval.ms, match and metrics
}

// clientMetricsCommand is kafka-client-metrics.
func clientMetricsCommand(e *env) *cobra.Command {
	var o subscriptionOptions
	var metrics, match, interval string
	c := &cobra.Command{}
	f := c.Flags()
	e.connection.flags(f)
	f.BoolVar(&o.alter, "alter", false, "make or change a subscription")
	f.BoolVar(&o.delete, "delete", false, "delete a subscription")
	f.BoolVar(&o.describe, "describe", false, "describe subscriptions")
	f.BoolVar(&o.list, "list", false, "list subscriptions")
	f.StringVar(&o.name, "name", "", "the `name` of the subscription")
	f.BoolVar(&o.generate, "generate-name", false, "with --alter, a name that is a random ID")
	f.StringVar(&metrics, "metrics", "", "prefixes of metrics, `NAME,NAME`")
	f.StringVar(&match, "match", "", "which clients, `SELECTOR=EXPRESSION,SELECTOR=EXPRESSION`")
	f.StringVar(&interval, "interval", "", "how often clients push, in `milliseconds`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.validate(f); err != nil {
			return err
		}
		for name, value := range map[string]string{"interval": interval, "match": match, "metrics": metrics} {
			if f.Changed(name) {
				o.changes = append(o.changes, change{name: subscriptionSetting(name), value: value, delete: value == ""})
			}
		}
		return e.withClient(c.Context(), func(ctx context.Context, client *kgo.Client) error {
			return e.clientMetrics(ctx, client, o)
		})
	}
	return c
}

// subscriptionSetting is the setting of a subscription that an option changes.
func subscriptionSetting(option string) string {
	if option == "interval" {
		return "interval.ms"
	}
	return option
}

func (o subscriptionOptions) validate(f *pflag.FlagSet) error {
	if given(f, "alter", "delete", "describe", "list") != 1 {
		return say("Command must include exactly one action: --alter, --delete, --describe or --list.")
	}
	if o.alter && o.generate == f.Changed("name") {
		return say("One of --name or --generate-name must be specified with --alter.")
	}
	if o.delete && o.name == "" {
		return say("A client metrics resource name must be specified with --delete.")
	}
	settings := []string{"generate-name", "metrics", "match", "interval"}
	return first(clash(f, "list", append(settings, "name")...), clash(f, "describe", settings...),
		clash(f, "delete", settings...))
}

func (e *env) clientMetrics(ctx context.Context, client *kgo.Client, o subscriptionOptions) error {
	switch {
	case o.alter:
		if o.generate {
			o.name = randomUUID()
		}
		return e.changeSubscription(ctx, client, o.name, o.changes, "Altered client metrics config for %s.\n")
	case o.delete:
		return e.deleteSubscription(ctx, client, o.name)
	}
	names, err := listedResources(ctx, client, kmsg.ConfigResourceTypeClientMetrics)
	if err != nil {
		return err
	}
	if o.describe && o.name != "" {
		if !slices.Contains(names, o.name) {
			e.print("The client metric resource %s doesn't exist and doesn't have dynamic config.\n", o.name)
			return nil // as Kafka's tool does
		}
		names = []string{o.name}
	}
	for _, name := range names {
		if o.list {
			e.print("%s\n", name)
			continue
		}
		settings, err := describedConfigs(ctx, client, kmsg.ConfigResourceTypeClientMetrics, name)
		if err != nil {
			return err
		}
		e.print("Client metrics configs for %s are:\n", name)
		for _, s := range settings {
			e.print("  %s=%s\n", s.Name, textOf(s.Value))
		}
	}
	return nil
}

// changeSubscription changes settings, if any, and prints that it has.
func (e *env) changeSubscription(ctx context.Context, client *kgo.Client, name string, changes []change,
	done string) error {
	if len(changes) > 0 {
		why, err := alterConfigs(ctx, client, kmsg.ConfigResourceTypeClientMetrics, name, changes)
		if why != "" {
			return e.fail("Error while executing client metrics command : %s", why)
		}
		if err != nil {
			return err
		}
	}
	e.print(done, name)
	return nil
}

// deleteSubscription deletes all settings of a subscription, which is its end.
func (e *env) deleteSubscription(ctx context.Context, client *kgo.Client, name string) error {
	settings, err := describedConfigs(ctx, client, kmsg.ConfigResourceTypeClientMetrics, name)
	if err != nil {
		return err
	}
	var changes []change
	for _, s := range settings {
		if s.Source == kmsg.ConfigSourceClientMetricsConfig {
			changes = append(changes, change{name: s.Name, delete: true})
		}
	}
	return e.changeSubscription(ctx, client, name, changes, "Deleted client metrics config for %s.\n")
}
