package handlers

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/credentials"
	"once/wire"
)

// AlterUserScramCredentials v0 (KIP-554): one change for each user, which is durable and has a result of its own. A
// user that is named twice is refused (spec: security 4).
func (s *Services) alterUserSCRAMCredentials(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.AlterUserSCRAMCredentialsRequest)
	resp := response[*kmsg.AlterUserSCRAMCredentialsResponse](r)
	changes := credentialChanges(req)
	times := counts(changes, func(c *credentials.Change) string { return c.User })
	for i := range changes {
		c := &changes[i]
		n := times[c.User]
		if n == 0 {
			continue // the user has been answered
		}
		times[c.User] = 0
		result := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		result.User = c.User
		switch err := s.Credentials.Check(*c); {
		case err != nil:
			result.ErrorCode, result.ErrorMessage = failure(err, r)
		case n > 1:
			result.ErrorCode = int16(wire.DuplicateResource)
			result.ErrorMessage = errorMessage(fmt.Sprintf("user %q stands in the request more than once", c.User))
		default:
			result.ErrorCode, result.ErrorMessage = failure(s.Credentials.Alter(*c), r)
		}
		resp.Results = append(resp.Results, result)
	}
	return wire.Respond(resp)
}

func credentialChanges(req *kmsg.AlterUserSCRAMCredentialsRequest) []credentials.Change {
	changes := make([]credentials.Change, 0, len(req.Deletions)+len(req.Upsertions))
	for i := range req.Deletions {
		d := &req.Deletions[i]
		changes = append(changes, credentials.Change{
			User: strings.Clone(d.Name), Mechanism: credentials.Mechanism(d.Mechanism), Delete: true,
		})
	}
	for i := range req.Upsertions {
		u := &req.Upsertions[i]
		changes = append(changes, credentials.Change{
			User: strings.Clone(u.Name), Mechanism: credentials.Mechanism(u.Mechanism), Iterations: u.Iterations,
			Salt: u.Salt, SaltedPassword: u.SaltedPassword,
		})
	}
	return changes
}

func failAlterUserSCRAMCredentials(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req := r.Body.(*kmsg.AlterUserSCRAMCredentialsRequest)
	resp := response[*kmsg.AlterUserSCRAMCredentialsResponse](r)
	seen := map[string]bool{}
	for _, c := range credentialChanges(req) {
		if seen[c.User] {
			continue
		}
		seen[c.User] = true
		result := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		result.User, result.ErrorCode, result.ErrorMessage = c.User, int16(code), messageOrNull(message)
		resp.Results = append(resp.Results, result)
	}
	return resp
}
