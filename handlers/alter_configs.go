package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/configs"
	"once/settings"
	"once/wire"
)

// resource is the owner of a configuration.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// alteration is the change of one resource, in a form common to both requests.
type alteration struct {
	resource
	change       func(current settings.Values) (settings.Values, error)
	validateOnly bool
}

// errInvalidRequest marks a request that is wrong whatever the settings are, as opposed to a value that is not allowed.
var errInvalidRequest = errors.New("invalid request")

// alter carries out the change of one resource, or only checks it.
func (s *Services) alter(a alteration) error {
	switch a.kind {
	case kmsg.ConfigResourceTypeBroker:
		return s.alterBroker(a)
	case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeGroupConfig, kmsg.ConfigResourceTypeClientMetrics:
	default:
		return fmt.Errorf("%w: resources of type %d are unknown", errInvalidRequest, a.kind)
	}
	if a.name == "" {
		if _, err := a.change(nil); err != nil {
			return err
		}
		return fmt.Errorf("%w: the resource has no name", errInvalidRequest)
	}
	name := strings.Clone(a.name)
	switch a.kind {
	case kmsg.ConfigResourceTypeGroupConfig:
		return s.Configs.Alter(configs.Group, name, a.change, a.validateOnly)
	case kmsg.ConfigResourceTypeClientMetrics:
		return s.Configs.Alter(configs.ClientMetrics, name, a.change, a.validateOnly)
	}
	return s.Topics.Alter(name, a.change, a.validateOnly)
}

// AlterConfigs v0 to v2 (v2 flexible): the given settings replace all settings of a resource. Deprecated in favour of
// IncrementalAlterConfigs, but still in use.
func (s *Services) alterConfigs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.AlterConfigsRequest), response[*kmsg.AlterConfigsResponse](r)
	times := counts(req.Resources, func(of *kmsg.AlterConfigsRequestResource) resource {
		return resource{of.ResourceType, of.ResourceName}
	})
	for i := range req.Resources {
		asked := &req.Resources[i]
		of := resource{asked.ResourceType, asked.ResourceName}
		next, err := replacement(asked.Configs)
		switch {
		case times[of] > 1:
			err = errTwice
		case err == nil:
			change := func(settings.Values) (settings.Values, error) { return next, nil }
			err = s.alter(alteration{of, change, req.ValidateOnly})
		}
		res := kmsg.NewAlterConfigsResponseResource()
		res.ResourceType, res.ResourceName = asked.ResourceType, asked.ResourceName
		res.ErrorCode, res.ErrorMessage = failure(err, r)
		resp.Resources = append(resp.Resources, res)
	}
	return wire.Respond(resp)
}

var (
	errTwice    = fmt.Errorf("%w: the resource stands in the request more than once", errInvalidRequest)
	errTooOften = fmt.Errorf("%w: the resource stands in the request more than %d times", errInvalidRequest, maxRepeats)
)

// failure converts an error for an answer; without an error there is no message.
func failure(err error, r *wire.Request) (code int16, message *string) {
	if err == nil {
		return 0, nil
	}
	return int16(codeFor(err, r.Key, r.Version)), errorMessage(err.Error())
}

// replacement returns the new settings of a resource.
func replacement(configs []kmsg.AlterConfigsRequestResourceConfig) (settings.Values, error) {
	next := settings.Values{}
	for _, c := range configs {
		if c.Value == nil {
			return nil, fmt.Errorf("%w: %s has no value", errInvalidRequest, c.Name)
		}
		if _, again := next[c.Name]; again {
			return nil, fmt.Errorf("%w: %s is set twice", errInvalidRequest, c.Name)
		}
		next[strings.Clone(c.Name)] = strings.Clone(*c.Value)
	}
	return next, nil
}

// IncrementalAlterConfigs v0 and v1 (v1 flexible): single settings are set, deleted, appended to or
// subtracted from (KIP-339).
func (s *Services) incrementalAlterConfigs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.IncrementalAlterConfigsRequest), response[*kmsg.IncrementalAlterConfigsResponse](r)
	times := counts(req.Resources, func(of *kmsg.IncrementalAlterConfigsRequestResource) resource {
		return resource{of.ResourceType, of.ResourceName}
	})
	for i := range req.Resources {
		asked := &req.Resources[i]
		of := resource{asked.ResourceType, asked.ResourceName}
		err := checkChanges(asked.Configs)
		switch {
		case times[of] > 1:
			err = errTwice
		case err != nil:
		case of.kind == kmsg.ConfigResourceTypeBrokerLogger:
			err = s.alterLoggers(of.name, asked.Configs, req.ValidateOnly)
		default:
			change := func(current settings.Values) (settings.Values, error) {
				return increment(of.kind, current, asked.Configs)
			}
			err = s.alter(alteration{of, change, req.ValidateOnly})
		}
		res := kmsg.NewIncrementalAlterConfigsResponseResource()
		res.ResourceType, res.ResourceName = asked.ResourceType, asked.ResourceName
		res.ErrorCode, res.ErrorMessage = failure(err, r)
		resp.Resources = append(resp.Resources, res)
	}
	return wire.Respond(resp)
}

// checkChanges makes the checks that do not depend on the resource.
func checkChanges(changes []kmsg.IncrementalAlterConfigsRequestResourceConfig) error {
	seen := map[string]bool{}
	for i := range changes {
		c := &changes[i]
		switch {
		case seen[c.Name]:
			return fmt.Errorf("%w: %s is changed twice", errInvalidRequest, c.Name)
		case c.Op == kmsg.IncrementalAlterConfigOpDelete:
		case c.Value == nil:
			return fmt.Errorf("%w: %s has no value", errInvalidRequest, c.Name)
		case c.Op < kmsg.IncrementalAlterConfigOpSet || c.Op > kmsg.IncrementalAlterConfigOpSubtract:
			return fmt.Errorf("%w: operation %d is unknown", errInvalidRequest, c.Op)
		}
		seen[c.Name] = true
	}
	return nil
}

// increment applies single changes in order. APPEND and SUBTRACT start from what was set for the
// resource, or else from the default of the schema, and work on lists only (spec: admin 8).
func increment(
	kind kmsg.ConfigResourceType, current settings.Values, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig,
) (settings.Values, error) {
	next := maps.Clone(current)
	if next == nil {
		next = settings.Values{}
	}
	for i := range changes {
		c := &changes[i]
		if c.Op == kmsg.IncrementalAlterConfigOpDelete {
			delete(next, c.Name)
			continue
		}
		name, value := strings.Clone(c.Name), strings.Clone(*c.Value)
		if c.Op != kmsg.IncrementalAlterConfigOpSet {
			list, err := listDefault(kind, name)
			if err != nil {
				return nil, err
			}
			if set, ok := next[name]; ok {
				list = set
			}
			if c.Op == kmsg.IncrementalAlterConfigOpAppend {
				value = settings.AppendToList(list, value)
			} else {
				value = settings.SubtractFromList(list, value)
			}
		}
		next[name] = value
	}
	return next, nil
}

// listDefault returns the default of a list. Those of groups and of client metrics are none here, as in Kafka.
func listDefault(kind kmsg.ConfigResourceType, name string) (string, error) {
	var d *settings.Definition
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		d, _ = settings.LookupTopic(name)
	case kmsg.ConfigResourceTypeBroker:
		d, _ = settings.Lookup(name)
	}
	if d == nil || d.Kind != settings.List {
		return "", &settings.InvalidError{Name: name, Reason: "is no list: nothing can be appended or subtracted"}
	}
	value, _ := d.Default()
	return value, nil
}

func failAlterConfigs(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.AlterConfigsRequest), response[*kmsg.AlterConfigsResponse](r)
	for i := range req.Resources {
		res := kmsg.NewAlterConfigsResponseResource()
		res.ResourceType, res.ResourceName = req.Resources[i].ResourceType, req.Resources[i].ResourceName
		res.ErrorCode, res.ErrorMessage = int16(code), messageOrNull(message)
		resp.Resources = append(resp.Resources, res)
	}
	return resp
}

func failIncrementalAlterConfigs(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.IncrementalAlterConfigsRequest), response[*kmsg.IncrementalAlterConfigsResponse](r)
	for i := range req.Resources {
		res := kmsg.NewIncrementalAlterConfigsResponseResource()
		res.ResourceType, res.ResourceName = req.Resources[i].ResourceType, req.Resources[i].ResourceName
		res.ErrorCode, res.ErrorMessage = int16(code), messageOrNull(message)
		resp.Resources = append(resp.Resources, res)
	}
	return resp
}

func aboutAlterConfigs(_ Catalogue, r *wire.Request) Subjects {
	return aboutResources(r.Body.(*kmsg.AlterConfigsRequest).Resources,
		func(a *kmsg.AlterConfigsRequestResource) (kmsg.ConfigResourceType, string) {
			return a.ResourceType, a.ResourceName
		})
}

func aboutIncrementalAlterConfigs(_ Catalogue, r *wire.Request) Subjects {
	return aboutResources(r.Body.(*kmsg.IncrementalAlterConfigsRequest).Resources,
		func(a *kmsg.IncrementalAlterConfigsRequestResource) (kmsg.ConfigResourceType, string) {
			return a.ResourceType, a.ResourceName
		})
}
