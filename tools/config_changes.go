package tools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// change is one setting that gets a value, or goes back to its default.
type change struct {
	name, value string
	delete      bool
}

func (s *settings) alter(ctx context.Context) error {
	changes, err := s.options.changes()
	if err != nil {
		return err
	}
	head := s.options.entities[0]
	switch head.kind {
	case "users", "clients", "ips":
		err = s.alterQuotas(ctx, changes)
	case "broker-loggers":
		err = s.alterLoggers(ctx, head.name, changes)
	default:
		resource, _ := resourceOf(head.kind)
		err = s.alterResource(ctx, resource.of, head.name, changes)
	}
	if err != nil {
		return err
	}
	if head.isDefault {
		s.print("Completed updating default config for %s in the cluster.\n", head.kind)
	} else {
		s.print("Completed updating config for %s %s.\n", strings.TrimSuffix(head.kind, "s"), head.name)
	}
	return nil
}

// refused prints the broker's error.
func (s *settings) refused(why string) error {
	return s.fail("Error while executing config command with args '%s'\n%s", strings.Join(s.args, " "), why)
}

func (s *settings) alterResource(ctx context.Context, of kmsg.ConfigResourceType, name string, changes []change) error {
	why, err := alterConfigs(ctx, s.client, of, name, changes)
	if why != "" {
		return s.refused(why)
	}
	return err
}

// alterConfigs changes settings of a resource. What the broker says against it is why.
func alterConfigs(ctx context.Context, client *kgo.Client, of kmsg.ConfigResourceType, name string,
	changes []change) (why string, err error) {
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = of, name
	for _, c := range changes {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = c.name, &c.value
		if c.delete {
			config.Op, config.Value = kmsg.IncrementalAlterConfigOpDelete, nil
		}
		resource.Configs = append(resource.Configs, config)
	}
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Resources = append(r.Resources, resource)
	answer, err := r.RequestWith(ctx, client)
	if err != nil {
		return "", err
	}
	for _, altered := range answer.Resources {
		if altered.ErrorCode != 0 {
			return messageOf(altered.ErrorCode, altered.ErrorMessage), nil
		}
	}
	return "", nil
}

// alterLoggers changes levels of loggers that the broker has.
func (s *settings) alterLoggers(ctx context.Context, broker string, changes []change) error {
	loggers, err := describedConfigs(ctx, s.client, kmsg.ConfigResourceTypeBrokerLogger, broker)
	if err != nil {
		return err
	}
	var unknown []string
	for _, c := range changes {
		if !slices.ContainsFunc(loggers, func(l kmsg.DescribeConfigsResponseResourceConfig) bool {
			return l.Name == c.name
		}) {
			unknown = append(unknown, c.name)
		}
	}
	if len(unknown) > 0 {
		return say("Invalid broker logger(s): %s", strings.Join(unknown, ","))
	}
	return s.alterResource(ctx, kmsg.ConfigResourceTypeBrokerLogger, broker, changes)
}

// changes returns what --add-config, --add-config-file and --delete-config ask for.
func (o *configsOptions) changes() ([]change, error) {
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
	var changes []change
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, say("Invalid entity config: all configs to be added must be in the format \"key=val\" or  " +
				"\"key=[val1,val2]\" to group values which contain commas.")
		}
		value = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(value), "["), "]")
		changes = append(changes, change{name: strings.TrimSpace(name), value: value})
	}
	for _, list := range o.delete {
		for _, name := range strings.Split(list, ",") {
			changes = append(changes, change{name: strings.TrimSpace(name), delete: true})
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
