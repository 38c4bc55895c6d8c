package handlers

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/quotas"
	"once/wire"
)

// DescribeClientQuotas v0 and v1 (v1 flexible): the quotas of the entities that match (spec: admin 17).
func (s *Services) describeClientQuotas(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeClientQuotasRequest), response[*kmsg.DescribeClientQuotasResponse](r)
	if code, message := checkQuotaFilter(req.Components); code != wire.NoError {
		return s.Fail(r, code, message)
	}
	resp.ErrorMessage = kmsg.StringPtr("")
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{} // null is for errors
	for _, found := range s.Quotas.Find(quotaConditions(req.Components), req.Strict) {
		entry := kmsg.NewDescribeClientQuotasResponseEntry()
		for _, part := range shownEntity(found.Entity) {
			e := kmsg.NewDescribeClientQuotasResponseEntryEntity()
			e.Type, e.Name = string(part.Type), part.Name
			entry.Entity = append(entry.Entity, e)
		}
		for _, name := range slices.Sorted(maps.Keys(found.Values)) {
			v := kmsg.NewDescribeClientQuotasResponseEntryValue()
			v.Key, v.Value = name, found.Values[name]
			entry.Values = append(entry.Values, v)
		}
		resp.Entries = append(resp.Entries, entry)
	}
	return wire.Respond(resp)
}

// quotaConditions are the components of a checked filter.
func quotaConditions(components []kmsg.DescribeClientQuotasRequestComponent) []quotas.Match {
	return eachOf(components, func(c *kmsg.DescribeClientQuotasRequestComponent) quotas.Match {
		m := quotas.Match{Type: quotas.Type(c.EntityType)}
		switch c.MatchType {
		case kmsg.QuotasMatchTypeExact:
			m.Name = *c.Match
		case kmsg.QuotasMatchTypeDefault:
			m.Default = true
		default:
			m.Any = true
		}
		return m
	})
}

// entityPart is one type of an entity with its name, nil for the default.
type entityPart struct {
	Type quotas.Type
	Name *string
}

// shownEntity lists the parts of an entity, by type.
func shownEntity(e quotas.Entity) []entityPart {
	var parts []entityPart
	for _, t := range slices.Sorted(maps.Keys(e)) {
		parts = append(parts, entityPart{t, e[t]})
	}
	return parts
}

func checkQuotaFilter(components []kmsg.DescribeClientQuotasRequestComponent) (wire.Code, string) {
	asked := map[string]bool{}
	for i := range components {
		c := &components[i]
		switch c.EntityType {
		case "":
			return wire.InvalidRequest, "an entity type is empty"
		case string(quotas.User), string(quotas.ClientID), string(quotas.IP):
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
	if asked[string(quotas.IP)] && len(asked) > 1 {
		return wire.InvalidRequest, "entity type ip cannot be combined with others"
	}
	return wire.NoError, ""
}

var failDescribeClientQuotas = failAtTop(func(r *kmsg.DescribeClientQuotasResponse) (*int16, **string) {
	return &r.ErrorCode, &r.ErrorMessage
})
