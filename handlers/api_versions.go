package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// ApiVersions v0 to v5. v1 adds the throttle time, v3 is flexible and carries the client's name and
// the features, v4 lists supported features whose minimum is 0 too (KAFKA-17492), v5 says whom the client means to
// reach (KIP-1242). An unserved version is answered in the layout of v0 with UNSUPPORTED_VERSION and this API's own
// range, so that the client can ask again (KIP-511).
func (s *Services) apiVersions(_ context.Context, r *wire.Request) wire.Reply {
	if r.Body == nil {
		return s.Fail(r, wire.UnsupportedVersion, "")
	}
	req, resp := r.Body.(*kmsg.ApiVersionsRequest), response[*kmsg.ApiVersionsResponse](r)
	if r.Version >= 3 {
		if !isClientSoftware(req.ClientSoftwareName) || !isClientSoftware(req.ClientSoftwareVersion) {
			return s.Fail(r, wire.InvalidRequest, "")
		}
		if r.Version >= 5 && (req.ClusterID != nil) != (req.NodeID != -1) {
			return s.Fail(r, wire.InvalidRequest, "")
		}
		r.Conn.SetClientSoftware(req.ClientSoftwareName, req.ClientSoftwareVersion)
		if req.ClusterID != nil && (*req.ClusterID != s.ClusterID || req.NodeID != s.NodeID) {
			return s.Fail(r, wire.RebootstrapRequired, "") // it found us where another broker was (spec: kafka-4.4 2.1)
		}
		s.Features.describe(r.Version, resp)
	}
	resp.ApiKeys = wire.Advertise(s.listed())
	return wire.Respond(resp)
}

// isClientSoftware reports whether a client's name or version has Kafka's form: letters and digits,
// with dots and dashes inside (KIP-511).
func isClientSoftware(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && (c != '.' && c != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != ""
}

// failApiVersions shows beside UNSUPPORTED_VERSION which versions of ApiVersions are served, so that the client can
// ask again (KIP-511). The version of the request may be one that is not served, and its body unread.
func failApiVersions(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = int16(code)
	for _, k := range wire.Advertise(APIs()) {
		if code == wire.UnsupportedVersion && k.ApiKey == r.Key {
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
	}
	return resp
}
