package handlers

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// DescribeUserScramCredentials v0: the mechanisms and iterations of users, of all that have credentials when none is
// named.
func (s *Services) describeUserSCRAMCredentials(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeUserSCRAMCredentialsRequest),
		response[*kmsg.DescribeUserSCRAMCredentialsResponse](r)
	resp.ErrorMessage = kmsg.StringPtr("")
	if len(req.Users) == 0 {
		for _, name := range s.Credentials.Users() {
			resp.Results = append(resp.Results, s.scramCredentials(name))
		}
	}
	times := counts(req.Users, func(u *kmsg.DescribeUserSCRAMCredentialsRequestUser) string { return u.Name })
	for _, u := range req.Users {
		n := times[u.Name]
		if n == 0 {
			continue // a user that stands in the request twice is answered once
		}
		times[u.Name] = 0
		result := s.scramCredentials(u.Name)
		if n > 1 {
			result.CredentialInfos, result.ErrorCode = nil, int16(wire.DuplicateResource)
			result.ErrorMessage = errorMessage(fmt.Sprintf("user %q stands in the request more than once", u.Name))
		}
		resp.Results = append(resp.Results, result)
	}
	return wire.Respond(resp)
}

// scramCredentials describes those of a user.
func (s *Services) scramCredentials(name string) kmsg.DescribeUserSCRAMCredentialsResponseResult {
	result := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
	result.User, result.ErrorMessage = name, kmsg.StringPtr("")
	found := s.Credentials.User(name)
	if found == nil {
		result.ErrorCode = int16(wire.ResourceNotFound)
		result.ErrorMessage = errorMessage(fmt.Sprintf("user %q has no SCRAM credentials", name))
	}
	for _, mechanism := range slices.Sorted(maps.Keys(found)) {
		info := kmsg.NewDescribeUserSCRAMCredentialsResponseResultCredentialInfo()
		info.Mechanism, info.Iterations = int8(mechanism), found[mechanism].Iterations
		result.CredentialInfos = append(result.CredentialInfos, info)
	}
	return result
}

// failDescribeUserSCRAMCredentials has the code at the top, and with each user; Kafka leaves out the names there.
func failDescribeUserSCRAMCredentials(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DescribeUserSCRAMCredentialsRequest),
		response[*kmsg.DescribeUserSCRAMCredentialsResponse](r)
	resp.ErrorCode, resp.ErrorMessage = int16(code), messageOrNull(message)
	for range req.Users {
		result := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		result.ErrorCode, result.ErrorMessage = int16(code), messageOrNull(message)
		resp.Results = append(resp.Results, result)
	}
	return resp
}
