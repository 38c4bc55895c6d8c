package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// The messages of answers about ACLs, in Kafka's words: its tools print them.
const (
	noAuthorizer         = "No Authorizer is configured on the broker"
	noAuthorizerToDelete = "No Authorizer is configured."
)

// hasUnknown says whether one of these is the number 0, which means "unknown". Kafka closes the connection for it, and
// for no other number.
func hasUnknown(
	t kmsg.ACLResourceType, pattern kmsg.ACLResourcePatternType, op kmsg.ACLOperation, permission kmsg.ACLPermissionType,
) bool {
	return t == 0 || pattern == 0 || op == 0 || permission == 0
}

// DescribeAcls v1 to v3 (v2 flexible): there is no authorizer. MirrorMaker and user interfaces recognise the code
// (spec: admin 16).
func (s *Services) describeACLs(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.DescribeACLsRequest)
	if hasUnknown(req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType) {
		return wire.Reply{Close: true}
	}
	return s.Fail(r, wire.SecurityDisabled, noAuthorizer)
}

// CreateAcls v1 to v3 (v2 flexible), likewise.
func (s *Services) createACLs(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.CreateACLsRequest)
	for i := range req.Creations {
		c := &req.Creations[i]
		if hasUnknown(c.ResourceType, c.ResourcePatternType, c.Operation, c.PermissionType) {
			return wire.Reply{Close: true}
		}
	}
	return s.Fail(r, wire.SecurityDisabled, noAuthorizer)
}

// DeleteAcls v1 to v3 (v2 flexible), likewise.
func (s *Services) deleteACLs(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.DeleteACLsRequest)
	for i := range req.Filters {
		f := &req.Filters[i]
		if hasUnknown(f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType) {
			return wire.Reply{Close: true}
		}
	}
	return s.Fail(r, wire.SecurityDisabled, noAuthorizerToDelete)
}

var failDescribeACLs = failAtTop(func(r *kmsg.DescribeACLsResponse) (*int16, **string) {
	return &r.ErrorCode, &r.ErrorMessage
})

func failCreateACLs(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.CreateACLsRequest), response[*kmsg.CreateACLsResponse](r)
	for range req.Creations {
		result := kmsg.NewCreateACLsResponseResult()
		result.ErrorCode, result.ErrorMessage = int16(code), messageOrNull(message)
		resp.Results = append(resp.Results, result)
	}
	return resp
}

func failDeleteACLs(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DeleteACLsRequest), response[*kmsg.DeleteACLsResponse](r)
	for range req.Filters {
		result := kmsg.NewDeleteACLsResponseResult()
		result.ErrorCode, result.ErrorMessage = int16(code), messageOrNull(message)
		resp.Results = append(resp.Results, result)
	}
	return resp
}
