package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/configs"
	"once/settings"
	"once/topics"
	"once/wire"
)

// DescribeConfigs v1 to v4. v3 types and documentation, v4 flexible. One resource of a type that does not exist
// fails the whole request.
func (s *Services) describeConfigs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeConfigsRequest), response[*kmsg.DescribeConfigsResponse](r)
	for i := range req.Resources {
		if kind := req.Resources[i].ResourceType; !slices.Contains(configResourceTypes, kind) {
			return s.Fail(r, wire.InvalidRequest, fmt.Sprintf("resources of type %d are unknown", kind))
		}
	}
	named := repeats[resource]{}
	for i := range req.Resources {
		asked := &req.Resources[i]
		res := kmsg.NewDescribeConfigsResponseResource()
		res.ResourceType, res.ResourceName = asked.ResourceType, asked.ResourceName
		var entries []settings.Entry
		err := errTooOften
		if !named.tooMany(resource{asked.ResourceType, asked.ResourceName}) {
			entries, err = s.configEntries(asked)
		}
		res.ErrorCode, res.ErrorMessage = failure(err, r)
		if err == nil || errors.Is(err, topics.ErrUnknownTopic) {
			res.ErrorMessage = kmsg.StringPtr("") // where Kafka has nothing to say it does not say null
		}
		wanted := map[string]bool{}
		for _, name := range asked.ConfigNames {
			wanted[name] = true
		}
		res.Configs = []kmsg.DescribeConfigsResponseResourceConfig{}
		for _, e := range entries {
			if len(wanted) == 0 || wanted[e.Name] {
				res.Configs = append(res.Configs, configEntry(e, req.IncludeSynonyms, req.IncludeDocumentation))
			}
		}
		resp.Resources = append(resp.Resources, res)
	}
	return wire.Respond(resp)
}

// configResourceTypes are the types of resources that have a configuration.
var configResourceTypes = []kmsg.ConfigResourceType{
	kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger,
	kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig,
}

func (s *Services) configEntries(asked *kmsg.DescribeConfigsRequestResource) ([]settings.Entry, error) {
	name := asked.ResourceName
	switch asked.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if err := topics.CheckName(name); err != nil {
			return nil, err
		}
		t, code := s.Catalogue.Topic(name)
		if code != wire.NoError {
			return nil, fmt.Errorf("%w: %q", topics.ErrUnknownTopic, name)
		}
		return s.Configs.Settings().DescribeTopic(s.shownOverrides(t)), nil
	case kmsg.ConfigResourceTypeBroker:
		if name == "" {
			return s.Configs.Settings().DescribeClusterDefault(), nil
		}
		if err := s.checkBrokerName(name); err != nil {
			return nil, err
		}
		return s.Configs.Settings().DescribeBroker(), nil
	case kmsg.ConfigResourceTypeBrokerLogger:
		if err := s.checkBrokerName(name); err != nil {
			return nil, err
		}
		return s.loggerEntries(), nil
	}
	if name == "" {
		return nil, fmt.Errorf("%w: it has no name", errInvalidRequest)
	}
	if asked.ResourceType == kmsg.ConfigResourceTypeGroupConfig {
		return s.Configs.Settings().DescribeGroup(s.Configs.Get(configs.Group, name)), nil
	}
	return settings.DescribeClientMetrics(s.Configs.Get(configs.ClientMetrics, name)), nil
}

// shownOverrides returns the settings that are shown as set on a topic.
func (s *Services) shownOverrides(t *topics.Topic) settings.Values {
	shown := t.Overrides()
	if more := s.Settings.ShownOnTransactionState(); more != nil && t.Name == topics.TransactionState {
		maps.Copy(more, shown)
		shown = more
	}
	return shown
}

func configEntry(e settings.Entry, synonyms, documentation bool) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.ReadOnly, c.IsSensitive, c.Source = e.Name, e.ReadOnly, e.Sensitive, kmsg.ConfigSource(e.Source)
	c.ConfigType = kmsg.ConfigType(e.Kind)
	if !e.Null {
		c.Value = kmsg.StringPtr(e.Value)
	}
	if documentation {
		c.Documentation = kmsg.StringPtr(e.Documentation)
	}
	c.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{}
	if synonyms {
		for _, y := range e.Synonyms {
			cy := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			cy.Name, cy.Value, cy.Source = y.Name, kmsg.StringPtr(y.Value), kmsg.ConfigSource(y.Source)
			if y.Null {
				cy.Value = nil
			}
			c.ConfigSynonyms = append(c.ConfigSynonyms, cy)
		}
	}
	return c
}

func failDescribeConfigs(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DescribeConfigsRequest), response[*kmsg.DescribeConfigsResponse](r)
	for i := range req.Resources {
		res := kmsg.NewDescribeConfigsResponseResource()
		res.ResourceType, res.ResourceName = req.Resources[i].ResourceType, req.Resources[i].ResourceName
		res.ErrorCode, res.ErrorMessage = int16(code), messageOrCode(message, code)
		resp.Resources = append(resp.Resources, res)
	}
	return resp
}

func aboutDescribeConfigs(_ Catalogue, r *wire.Request) Subjects {
	return aboutResources(r.Body.(*kmsg.DescribeConfigsRequest).Resources,
		func(a *kmsg.DescribeConfigsRequestResource) (kmsg.ConfigResourceType, string) {
			return a.ResourceType, a.ResourceName
		})
}
