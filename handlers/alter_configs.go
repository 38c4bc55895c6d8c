package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/settings"
	"once/topics"
	"once/wire"
)

// alteration is the wish of one resource, in the words that both requests share.
type alteration struct {
	kind   kmsg.ConfigResourceType
	name   string
	change func(current settings.Values) (settings.Values, error)
}

// errAlteration marks a wish that contradicts itself, as opposed to a value that is not allowed.
var errAlteration = errors.New("the change cannot be carried out")

// alter carries out what is asked of one resource, or only checks it. Topics can be altered; the
// settings of the broker itself are those that it was started with.
func (s *Services) alter(a alteration, validateOnly bool, key, version int16) (wire.Code, string) {
	switch {
	case a.kind == kmsg.ConfigResourceTypeBroker || a.kind == kmsg.ConfigResourceTypeBrokerLogger:
		return wire.InvalidRequest, "the settings of this broker cannot be changed while it runs; give them at its start"
	case a.kind != kmsg.ConfigResourceTypeTopic:
		return wire.UnsupportedVersion, fmt.Sprintf("resources of type %d have no configuration", a.kind)
	case a.name == "":
		return wire.InvalidRequest, "a topic has a name"
	}
	if err := topics.CheckName(a.name); err != nil {
		return wire.InvalidTopicException, err.Error()
	}
	err := s.Topics.Alter(strings.Clone(a.name), a.change, validateOnly)
	switch {
	case err == nil:
		return wire.NoError, ""
	case errors.Is(err, errAlteration):
		return wire.InvalidRequest, err.Error()
	}
	return codeFor(err, key, version), err.Error()
}

// AlterConfigs v0 to v2 (v2 flexible): what is given replaces everything that was set for a resource.
// Deprecated in favour of IncrementalAlterConfigs, and alive.
func (s *Services) alterConfigs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.AlterConfigsRequest), response[*kmsg.AlterConfigsResponse](r)
	times := map[string]int{}
	for i := range req.Resources {
		times[resourceKey(req.Resources[i].ResourceType, req.Resources[i].ResourceName)]++
	}
	for i := range req.Resources {
		asked := &req.Resources[i]
		change := func(settings.Values) (settings.Values, error) {
			next := settings.Values{}
			for _, c := range asked.Configs {
				if c.Value == nil {
					return nil, fmt.Errorf("%w: %s has no value", errAlteration, c.Name)
				}
				next[strings.Clone(c.Name)] = strings.Clone(*c.Value)
			}
			return next, nil
		}
		res := kmsg.NewAlterConfigsResponseResource()
		res.ResourceType, res.ResourceName = asked.ResourceType, asked.ResourceName
		code, message := wire.InvalidRequest, "the resource stands in the request more than once"
		if times[resourceKey(asked.ResourceType, asked.ResourceName)] == 1 {
			code, message = s.alter(alteration{asked.ResourceType, asked.ResourceName, change}, req.ValidateOnly, r.Key, r.Version)
		}
		if code != wire.NoError {
			res.ErrorCode, res.ErrorMessage = int16(code), &message
		}
		resp.Resources = append(resp.Resources, res)
	}
	return wire.Respond(resp)
}

// IncrementalAlterConfigs v0 and v1 (v1 flexible): single settings are set, deleted, appended to or
// subtracted from (KIP-339).
func (s *Services) incrementalAlterConfigs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.IncrementalAlterConfigsRequest), response[*kmsg.IncrementalAlterConfigsResponse](r)
	times := map[string]int{}
	for i := range req.Resources {
		times[resourceKey(req.Resources[i].ResourceType, req.Resources[i].ResourceName)]++
	}
	for i := range req.Resources {
		asked := &req.Resources[i]
		change := func(current settings.Values) (settings.Values, error) { return increment(current, asked.Configs) }
		res := kmsg.NewIncrementalAlterConfigsResponseResource()
		res.ResourceType, res.ResourceName = asked.ResourceType, asked.ResourceName
		code, message := wire.InvalidRequest, "the resource stands in the request more than once"
		if times[resourceKey(asked.ResourceType, asked.ResourceName)] == 1 {
			code, message = s.alter(alteration{asked.ResourceType, asked.ResourceName, change}, req.ValidateOnly, r.Key, r.Version)
		}
		if code != wire.NoError {
			res.ErrorCode, res.ErrorMessage = int16(code), &message
		}
		resp.Resources = append(resp.Resources, res)
	}
	return wire.Respond(resp)
}

func resourceKey(kind kmsg.ConfigResourceType, name string) string {
	return fmt.Sprintf("%d/%s", kind, name)
}

// increment applies single changes in order. APPEND and SUBTRACT start from what was set for the
// resource, or else from the default of the schema, and work on lists only (spec: admin 8).
func increment(current settings.Values, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig) (settings.Values, error) {
	next := maps.Clone(current)
	if next == nil {
		next = settings.Values{}
	}
	seen := map[string]bool{}
	for i := range changes {
		c := &changes[i]
		if seen[c.Name] {
			return nil, fmt.Errorf("%w: %s is changed twice", errAlteration, c.Name)
		}
		seen[c.Name] = true
		name := strings.Clone(c.Name)
		if c.Op == kmsg.IncrementalAlterConfigOpDelete {
			delete(next, name)
			continue
		}
		if c.Value == nil {
			return nil, fmt.Errorf("%w: %s has no value", errAlteration, c.Name)
		}
		value := strings.Clone(*c.Value)
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			next[name] = value
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			list, err := listOf(next, name)
			if err != nil {
				return nil, err
			}
			for _, entry := range settings.SplitList(value) {
				at := slices.Index(list, entry)
				switch {
				case c.Op == kmsg.IncrementalAlterConfigOpAppend && at < 0:
					list = append(list, entry)
				case c.Op == kmsg.IncrementalAlterConfigOpSubtract && at >= 0:
					list = slices.Delete(list, at, at+1)
				}
			}
			next[name] = strings.Join(list, ",")
		default:
			return nil, fmt.Errorf("%w: operation %d is unknown", errAlteration, c.Op)
		}
	}
	return next, nil
}

func listOf(current settings.Values, name string) ([]string, error) {
	d, ok := settings.LookupTopic(name)
	if !ok {
		return nil, &settings.InvalidError{Name: name, Reason: "no topic has a setting of that name"}
	}
	if d.Kind != settings.List {
		return nil, &settings.InvalidError{Name: name, Reason: "is no list: nothing can be appended or subtracted"}
	}
	if set, ok := current[name]; ok {
		return settings.SplitList(set), nil
	}
	value, _ := d.Default()
	return settings.SplitList(value), nil
}
