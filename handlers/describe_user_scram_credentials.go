package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// DescribeUserScramCredentials v0: there are none. A request for all users gets an empty list, and a named user has no
// credentials.
func (s *Services) describeUserSCRAMCredentials(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeUserSCRAMCredentialsRequest), response[*kmsg.DescribeUserSCRAMCredentialsResponse](r)
	resp.ErrorMessage = kmsg.StringPtr("")
	times := counts(req.Users, func(u *kmsg.DescribeUserSCRAMCredentialsRequestUser) string { return u.Name })
	for _, u := range req.Users {
		n := times[u.Name]
		if n == 0 {
			continue // a user that stands in the request twice is answered once
		}
		times[u.Name] = 0
		result := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		result.User = u.Name
		code, message := wire.ResourceNotFound, fmt.Sprintf("user %q has no SCRAM credentials", u.Name)
		if n > 1 {
			code, message = wire.DuplicateResource, fmt.Sprintf("user %q stands in the request more than once", u.Name)
		}
		result.ErrorCode, result.ErrorMessage = int16(code), errorMessage(message)
		resp.Results = append(resp.Results, result)
	}
	return wire.Respond(resp)
}

// failDescribeUserSCRAMCredentials has the code at the top, and with each user; Kafka leaves out the names there.
func failDescribeUserSCRAMCredentials(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DescribeUserSCRAMCredentialsRequest), response[*kmsg.DescribeUserSCRAMCredentialsResponse](r)
	resp.ErrorCode, resp.ErrorMessage = int16(code), messageOrNull(message)
	for range req.Users {
		result := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		result.ErrorCode, result.ErrorMessage = int16(code), messageOrNull(message)
		resp.Results = append(resp.Results, result)
	}
	return resp
}
