package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// The principal of all clients while there is no authentication.
const (
	principalType      = "User"
	anonymousPrincipal = "ANONYMOUS"
)

// CreateDelegationToken v1 to v3. v2 flexible, v3 a token for another owner. Tokens need authentication: every request
// is refused.
func (s *Services) createDelegationToken(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.CreateDelegationTokenRequest), response[*kmsg.CreateDelegationTokenResponse](r)
	resp.ErrorCode = int16(wire.DelegationTokenRequestNotAllowed)
	resp.TokenRequesterPrincipalType, resp.TokenRequesterPrincipalName = principalType, anonymousPrincipal
	resp.PrincipalType, resp.PrincipalName = principalType, anonymousPrincipal
	if req.OwnerPrincipalName != nil && *req.OwnerPrincipalName != "" {
		resp.PrincipalName, resp.PrincipalType = *req.OwnerPrincipalName, ""
		if req.OwnerPrincipalType != nil {
			resp.PrincipalType = *req.OwnerPrincipalType
		}
	}
	resp.IssueTimestamp, resp.ExpiryTimestamp, resp.MaxTimestamp = -1, -1, -1
	return wire.Respond(resp)
}

// RenewDelegationToken v1 and v2 (v2 flexible), refused likewise.
func (s *Services) renewDelegationToken(_ context.Context, r *wire.Request) wire.Reply {
	resp := response[*kmsg.RenewDelegationTokenResponse](r)
	resp.ErrorCode, resp.ExpiryTimestamp = int16(wire.DelegationTokenRequestNotAllowed), -1
	return wire.Respond(resp)
}

// ExpireDelegationToken v1 and v2 (v2 flexible), refused likewise.
func (s *Services) expireDelegationToken(_ context.Context, r *wire.Request) wire.Reply {
	resp := response[*kmsg.ExpireDelegationTokenResponse](r)
	resp.ErrorCode, resp.ExpiryTimestamp = int16(wire.DelegationTokenRequestNotAllowed), -1
	return wire.Respond(resp)
}

// DescribeDelegationToken v1 to v3. v2 flexible, v3 names who asked for a token. Refused likewise.
func (s *Services) describeDelegationToken(_ context.Context, r *wire.Request) wire.Reply {
	return s.Fail(r, wire.DelegationTokenRequestNotAllowed, "")
}

var failRenewDelegationToken = failAtTop(func(r *kmsg.RenewDelegationTokenResponse) (*int16, **string) {
	return &r.ErrorCode, nil
})

var failExpireDelegationToken = failAtTop(func(r *kmsg.ExpireDelegationTokenResponse) (*int16, **string) {
	return &r.ErrorCode, nil
})

var failDescribeDelegationToken = failAtTop(func(r *kmsg.DescribeDelegationTokenResponse) (*int16, **string) {
	return &r.ErrorCode, nil
})

// failCreateDelegationToken names the anonymous principal as requester and owner.
func failCreateDelegationToken(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	resp := response[*kmsg.CreateDelegationTokenResponse](r)
	resp.ErrorCode = int16(code)
	resp.TokenRequesterPrincipalType, resp.TokenRequesterPrincipalName = principalType, anonymousPrincipal
	resp.PrincipalType, resp.PrincipalName = principalType, anonymousPrincipal
	resp.IssueTimestamp, resp.ExpiryTimestamp, resp.MaxTimestamp = -1, -1, -1
	return resp
}
