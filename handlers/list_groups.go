package handlers

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/wire"
)

// ListGroups v0 to v5. v3 flexible, v4 states and a filter by them (KIP-518), v5 types and a filter by
// them (KIP-848).
//
// Filters ignore case and surrounding space; an unknown word matches nothing.
func (s *Services) listGroups(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ListGroupsRequest), response[*kmsg.ListGroupsResponse](r)
	list, err := s.Groups.List()
	resp.ErrorCode = int16(codeFor(err, r.Key, r.Version))
	slices.SortFunc(list, func(a, b groupcoordinator.Listed) int { return strings.Compare(a.GroupID, b.GroupID) })
	for _, g := range list {
		if !passes(req.StatesFilter, g.State) || !passes(req.TypesFilter, g.Type) {
			continue
		}
		x := kmsg.NewListGroupsResponseGroup()
		x.Group, x.ProtocolType = g.GroupID, g.ProtocolType
		x.GroupState, x.GroupType = g.State, g.Type
		resp.Groups = append(resp.Groups, x)
	}
	return wire.Respond(resp)
}

// passes says whether a word matches a filter; an empty filter matches everything.
func passes(filter []string, word string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool {
		return strings.EqualFold(strings.TrimSpace(f), word)
	})
}

var failListGroups = failAtTop(func(r *kmsg.ListGroupsResponse) (*int16, **string) { return &r.ErrorCode, nil })
