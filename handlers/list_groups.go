package handlers

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/groupcoordinator/streamsgroup"
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
		if !passes(req.StatesFilter, stateNames(g.State)...) || !passes(req.TypesFilter, g.Type) {
			continue
		}
		x := kmsg.NewListGroupsResponseGroup()
		x.Group, x.ProtocolType = g.GroupID, g.ProtocolType
		x.GroupState, x.GroupType = g.State, g.Type
		resp.Groups = append(resp.Groups, x)
	}
	return wire.Respond(resp)
}

// stateNames returns the words by which a filter finds groups in a state. In Kafka a NotReady group is found as
// not_ready, and not by the name that it is shown with (spec: streams-groups 3).
func stateNames(state string) []string {
	if state == streamsgroup.StateNotReady {
		return []string{state, "not_ready"}
	}
	return []string{state}
}

// passes says whether one of the names matches a filter; an empty filter matches everything.
func passes(filter []string, names ...string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(strings.TrimSpace(f), name) })
	})
}

var failListGroups = failAtTop(func(r *kmsg.ListGroupsResponse) (*int16, **string) { return &r.ErrorCode, nil })
