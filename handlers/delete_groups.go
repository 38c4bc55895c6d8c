package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/wire"
)

// DeleteGroups v0 to v3. v2 flexible, v3 messages (KIP-1331), which are null here. A group named twice is deleted and
// answered once.
func (s *Services) deleteGroups(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DeleteGroupsRequest), response[*kmsg.DeleteGroupsResponse](r)
	var deletions []*groupcoordinator.Future[groupcoordinator.DeleteResult]
	seen := make(map[string]bool, len(req.Groups))
	for _, id := range req.Groups {
		if seen[id] {
			continue
		}
		seen[id] = true
		x := kmsg.NewDeleteGroupsResponseGroup()
		x.Group = id
		resp.Groups = append(resp.Groups, x)
		deletions = append(deletions, s.Groups.DeleteGroup(id))
	}
	return wire.Reply{Then: func(ctx context.Context) kmsg.Response {
		for i, d := range deletions {
			result, err := d.Wait(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if err == nil {
				err = result.Err
			}
			resp.Groups[i].ErrorCode = int16(codeFor(err, r.Key, r.Version))
		}
		return resp
	}}
}

func failDeleteGroups(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DeleteGroupsRequest), response[*kmsg.DeleteGroupsResponse](r)
	for _, id := range req.Groups {
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group, g.ErrorCode = id, int16(code)
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

func aboutDeleteGroups(_ Catalogue, r *wire.Request) Subjects {
	return Subjects{Groups: r.Body.(*kmsg.DeleteGroupsRequest).Groups}
}
