package tools

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// settings is one run of kafka-configs with its connection.
type settings struct {
	*env
	options configsOptions
	client  *kgo.Client
	admin   *kadm.Client
}

// resource is a kind of entities with settings that are no quotas.
type resource struct {
	of     kmsg.ConfigResourceType
	own    kmsg.ConfigSource // of what was set for one entity
	single string            // how one is called
}

// resourceOf returns the resource of a kind; the other kinds have quotas.
func resourceOf(kind string) (r resource, ok bool) {
	switch kind {
	case "topics":
		r = resource{kmsg.ConfigResourceTypeTopic, kmsg.ConfigSourceDynamicTopicConfig, "topic"}
	case "brokers":
		r = resource{kmsg.ConfigResourceTypeBroker, kmsg.ConfigSourceDynamicBrokerConfig, "broker"}
	case "broker-loggers":
		r = resource{kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigSourceDynamicBrokerLoggerConfig, "broker-logger"}
	case "client-metrics":
		r = resource{kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigSourceClientMetricsConfig, "client-metric"}
	case "groups":
		r = resource{kmsg.ConfigResourceTypeGroupConfig, kmsg.ConfigSourceGroupConfig, "group"}
	default:
		return r, false
	}
	return r, true
}

func (s *settings) describe(ctx context.Context) error {
	of := s.options.entities[0]
	resource, ok := resourceOf(of.kind)
	if !ok {
		return s.describeQuotas(ctx)
	}
	if of.isDefault {
		return s.describeBrokerDefaults(ctx)
	}
	known, err := s.known(ctx, of.kind)
	if err != nil {
		return err
	}
	names := known
	if of.named {
		names = []string{of.name}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			s.print("The %s '%s' doesn't exist and doesn't have dynamic config.\n", resource.single, name)
			continue // as Kafka's tool does
		}
		if err := s.describeResource(ctx, of.kind, name); err != nil {
			return err
		}
	}
	if of.kind == "brokers" && !of.named {
		return s.describeBrokerDefaults(ctx)
	}
	return nil
}

// known returns the names of the entities of a kind that exist, or have settings, in order.
func (s *settings) known(ctx context.Context, kind string) (names []string, err error) {
	switch kind {
	case "topics":
		topics, err := s.admin.ListTopicsWithInternal(ctx)
		return topics.Names(), err
	case "brokers", "broker-loggers":
		brokers, err := s.admin.ListBrokers(ctx)
		for _, id := range brokers.NodeIDs() {
			names = append(names, strconv.Itoa(int(id)))
		}
		return names, err
	case "groups":
		groups, err := listedGroups(ctx, s.client, nil, nil)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			names = append(names, g.Group)
		}
	}
	resource, _ := resourceOf(kind)
	listed, err := listedResources(ctx, s.client, resource.of)
	names = append(names, listed...)
	slices.Sort(names)
	return slices.Compact(names), err
}

// listedResources returns the names of resources of a type that have settings.
func listedResources(ctx context.Context, client *kgo.Client, of kmsg.ConfigResourceType) (names []string, err error) {
	r := kmsg.NewPtrListConfigResourcesRequest()
	r.ResourceTypes = []int8{int8(of)}
	answer, err := r.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	if answer.ErrorCode != 0 {
		return nil, kerr.ErrorForCode(answer.ErrorCode)
	}
	for _, listed := range answer.ConfigResources {
		names = append(names, listed.Name)
	}
	slices.Sort(names)
	return names, nil
}

func (s *settings) describeResource(ctx context.Context, kind, name string) error {
	of, _ := resourceOf(kind)
	described, err := describedConfigs(ctx, s.client, of.of, name)
	if err != nil {
		return err
	}
	word := "Dynamic"
	if s.options.all {
		word = "All"
	}
	s.print("%s configs for %s %s are:\n", word, of.single, name)
	for _, c := range described {
		if s.options.all || kind == "broker-loggers" || c.Source == of.own {
			s.printConfig(c)
		}
	}
	return nil
}

func (s *settings) describeBrokerDefaults(ctx context.Context) error {
	described, err := describedConfigs(ctx, s.client, kmsg.ConfigResourceTypeBroker, "")
	if err != nil {
		return err
	}
	s.print("Default configs for brokers in the cluster are:\n")
	for _, c := range described {
		if c.Source == kmsg.ConfigSourceDynamicDefaultBrokerConfig {
			s.printConfig(c)
		}
	}
	return nil
}

// describedConfigs returns the settings of a resource, in the order of their names.
func describedConfigs(ctx context.Context, client *kgo.Client, of kmsg.ConfigResourceType,
	name string) ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	asked := kmsg.NewDescribeConfigsRequestResource()
	asked.ResourceType, asked.ResourceName = of, name
	r := kmsg.NewPtrDescribeConfigsRequest()
	r.IncludeSynonyms = true
	r.Resources = append(r.Resources, asked)
	answer, err := r.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	var configs []kmsg.DescribeConfigsResponseResourceConfig
	for _, described := range answer.Resources {
		if described.ErrorCode != 0 {
			return nil, say("%s", messageOf(described.ErrorCode, described.ErrorMessage))
		}
		configs = append(configs, described.Configs...)
	}
	slices.SortFunc(configs, func(a, b kmsg.DescribeConfigsResponseResourceConfig) int {
		return strings.Compare(a.Name, b.Name)
	})
	return configs, nil
}

func (s *settings) printConfig(c kmsg.DescribeConfigsResponseResourceConfig) {
	var synonyms []string
	for _, of := range c.ConfigSynonyms {
		synonyms = append(synonyms, fmt.Sprintf("%s:%s=%s", sourceName(of.Source), of.Name, textOf(of.Value)))
	}
	s.print("  %s=%s sensitive=%t synonyms={%s}\n", c.Name, textOf(c.Value), c.IsSensitive, strings.Join(synonyms, ", "))
}

// textOf is a value as Kafka's tools print it.
func textOf(value *string) string {
	if value == nil {
		return "null"
	}
	return *value
}

// sourceName is Kafka's name of where a setting comes from.
func sourceName(source kmsg.ConfigSource) string {
	switch source {
	case kmsg.ConfigSourceClientMetricsConfig:
		return "DYNAMIC_CLIENT_METRICS_CONFIG"
	case kmsg.ConfigSourceGroupConfig:
		return "DYNAMIC_GROUP_CONFIG"
	}
	return source.String()
}
