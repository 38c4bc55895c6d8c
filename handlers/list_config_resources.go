package handlers

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/configs"
	"once/wire"
)

// ListConfigResources v0 and v1: the resources that can be described. v0 lists subscriptions to client metrics
// (KIP-714), v1 the resources of the types asked for, and of all types when none is (KIP-1142). Groups and
// subscriptions are listed when something is set for them.
func (s *Services) listConfigResources(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ListConfigResourcesRequest), response[*kmsg.ListConfigResourcesResponse](r)
	types := configResourceTypes
	switch {
	case r.Version == 0:
		types = []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeClientMetrics}
	case len(req.ResourceTypes) > 0:
		types = nil
		for _, t := range req.ResourceTypes {
			kind := kmsg.ConfigResourceType(t)
			if !slices.Contains(configResourceTypes, kind) {
				return s.Fail(r, wire.UnsupportedVersion, "")
			}
			if !slices.Contains(types, kind) {
				types = append(types, kind)
			}
		}
	}
	for _, kind := range types {
		for _, name := range s.resourceNames(kind) {
			c := kmsg.NewListConfigResourcesResponseConfigResource()
			c.Name, c.Type = name, int8(kind)
			resp.ConfigResources = append(resp.ConfigResources, c)
		}
	}
	return wire.Respond(resp)
}

// resourceNames returns the names of the resources of a type, sorted.
func (s *Services) resourceNames(kind kmsg.ConfigResourceType) []string {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		var names []string
		for _, t := range s.Catalogue.All() {
			names = append(names, t.Name)
		}
		return names
	case kmsg.ConfigResourceTypeGroupConfig:
		return s.Configs.Names(configs.Group)
	case kmsg.ConfigResourceTypeClientMetrics:
		return s.Configs.Names(configs.ClientMetrics)
	}
	return []string{strconv.Itoa(int(s.NodeID))} // the broker and its loggers
}

var failListConfigResources = failAtTop(func(r *kmsg.ListConfigResourcesResponse) (*int16, **string) {
	return &r.ErrorCode, nil
})
