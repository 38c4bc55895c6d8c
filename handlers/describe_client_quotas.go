package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// The kinds of entities that quotas are for.
const (
	quotaUser     = "user"
	quotaClientID = "client-id"
	quotaIP       = "ip"
)

// DescribeClientQuotas v0 and v1 (v1 flexible): there are no quotas, so every valid request gets an empty list (spec:
// admin 17).
func (s *Services) describeClientQuotas(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeClientQuotasRequest), response[*kmsg.DescribeClientQuotasResponse](r)
	if code, message := checkQuotaFilter(req.Components); code != wire.NoError {
		return s.Fail(r, code, message)
	}
	resp.ErrorMessage = kmsg.StringPtr("")
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{} // null is for errors
	return wire.Respond(resp)
}

func checkQuotaFilter(components []kmsg.DescribeClientQuotasRequestComponent) (wire.Code, string) {
	asked := map[string]bool{}
	for i := range components {
		c := &components[i]
		switch c.EntityType {
		case "":
			return wire.InvalidRequest, "an entity type is empty"
		case quotaUser, quotaClientID, quotaIP:
		default:
			return wire.UnsupportedVersion, fmt.Sprintf("entity type %q is unknown", c.EntityType)
		}
		if asked[c.EntityType] {
			return wire.InvalidRequest, fmt.Sprintf("entity type %s stands in the filter more than once", c.EntityType)
		}
		asked[c.EntityType] = true
		switch c.MatchType {
		case kmsg.QuotasMatchTypeExact:
			if c.Match == nil {
				return wire.InvalidRequest, "an exact match needs a name"
			}
		case kmsg.QuotasMatchTypeDefault, kmsg.QuotasMatchTypeAny:
			if c.Match != nil {
				return wire.InvalidRequest, "only an exact match has a name"
			}
		default:
			return wire.InvalidRequest, fmt.Sprintf("match type %d is unknown", c.MatchType)
		}
	}
	if asked[quotaIP] && len(asked) > 1 {
		return wire.InvalidRequest, "entity type ip cannot be combined with others"
	}
	return wire.NoError, ""
}

var failDescribeClientQuotas = failAtTop(func(r *kmsg.DescribeClientQuotasResponse) (*int16, **string) {
	return &r.ErrorCode, &r.ErrorMessage
})
