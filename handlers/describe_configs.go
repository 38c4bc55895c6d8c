package handlers

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/settings"
	"once/topics"
	"once/wire"
)

// DescribeConfigs v1 to v4. v3 types and documentation, v4 flexible. Topics and the broker itself are
// described; the other resource types have no configuration here.
func (s *Services) describeConfigs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeConfigsRequest), response[*kmsg.DescribeConfigsResponse](r)
	for i := range req.Resources {
		asked := &req.Resources[i]
		res := kmsg.NewDescribeConfigsResponseResource()
		res.ResourceType, res.ResourceName = asked.ResourceType, asked.ResourceName
		entries, code, message := s.configEntries(asked)
		if code != wire.NoError {
			res.ErrorCode, res.ErrorMessage = int16(code), &message
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

func (s *Services) configEntries(asked *kmsg.DescribeConfigsRequestResource) ([]settings.Entry, wire.Code, string) {
	switch asked.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if err := topics.CheckName(asked.ResourceName); err != nil {
			return nil, wire.InvalidTopicException, err.Error()
		}
		t, ok := s.Topics.Lookup(asked.ResourceName)
		if !ok {
			return nil, wire.UnknownTopicOrPartition, fmt.Sprintf("there is no topic %q", asked.ResourceName)
		}
		return s.Settings.DescribeTopic(t.Overrides()), wire.NoError, ""
	case kmsg.ConfigResourceTypeBroker:
		if asked.ResourceName == "" {
			return nil, wire.NoError, "" // the dynamic defaults of the cluster: there are none
		}
		id, err := strconv.ParseInt(asked.ResourceName, 10, 32)
		if err != nil || int32(id) != s.NodeID {
			return nil, wire.InvalidRequest, fmt.Sprintf("this is broker %d, not %q", s.NodeID, asked.ResourceName)
		}
		return s.Settings.DescribeBroker(), wire.NoError, ""
	default:
		return nil, wire.InvalidRequest, fmt.Sprintf("resources of type %d have no configuration", asked.ResourceType)
	}
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
