package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// noAuthorizer is what everything about ACLs is answered with.
const noAuthorizer = "no authorizer is configured on this broker"

// aclUnknown is the number of "unknown" among the resource types, pattern types, operations and permissions. Kafka
// closes the connection on it, and on no other number.
const aclUnknown = 0

// DescribeAcls v1 to v3 (v2 flexible): there is no authorizer, which MirrorMaker and user interfaces know by the
// code (spec: admin 16).
func (s *Services) describeACLs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeACLsRequest), response[*kmsg.DescribeACLsResponse](r)
	if req.ResourceType == aclUnknown || req.ResourcePatternType == aclUnknown || req.Operation == aclUnknown || req.PermissionType == aclUnknown {
		return wire.Reply{Close: true}
	}
	resp.ErrorCode, resp.ErrorMessage = int16(wire.SecurityDisabled), kmsg.StringPtr(noAuthorizer)
	return wire.Respond(resp)
}

// CreateAcls v1 to v3 (v2 flexible), likewise.
func (s *Services) createACLs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.CreateACLsRequest), response[*kmsg.CreateACLsResponse](r)
	for i := range req.Creations {
		c := &req.Creations[i]
		if c.ResourceType == aclUnknown || c.ResourcePatternType == aclUnknown || c.Operation == aclUnknown || c.PermissionType == aclUnknown {
			return wire.Reply{Close: true}
		}
		result := kmsg.NewCreateACLsResponseResult()
		result.ErrorCode, result.ErrorMessage = int16(wire.SecurityDisabled), kmsg.StringPtr(noAuthorizer)
		resp.Results = append(resp.Results, result)
	}
	return wire.Respond(resp)
}

// DeleteAcls v1 to v3 (v2 flexible), likewise.
func (s *Services) deleteACLs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DeleteACLsRequest), response[*kmsg.DeleteACLsResponse](r)
	for i := range req.Filters {
		f := &req.Filters[i]
		if f.ResourceType == aclUnknown || f.ResourcePatternType == aclUnknown || f.Operation == aclUnknown || f.PermissionType == aclUnknown {
			return wire.Reply{Close: true}
		}
		result := kmsg.NewDeleteACLsResponseResult()
		result.ErrorCode, result.ErrorMessage = int16(wire.SecurityDisabled), kmsg.StringPtr(noAuthorizer)
		resp.Results = append(resp.Results, result)
	}
	return wire.Respond(resp)
}
