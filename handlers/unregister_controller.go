package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// UnregisterController v0 (KIP-1312): the one controller is the active one, which stays registered (spec: kafka-4.4
// 2.4).
func (s *Services) unregisterController(_ context.Context, r *wire.Request) wire.Reply {
	id := r.Body.(*kmsg.UnregisterControllerRequest).ControllerID
	if id == s.NodeID {
		return s.Fail(r, wire.InvalidRequest, fmt.Sprintf("controller %d is the active controller", id))
	}
	return s.Fail(r, wire.ControllerIDNotRegistered, fmt.Sprintf("controller %d is not registered", id))
}

var failUnregisterController = failWithText(func(r *kmsg.UnregisterControllerResponse) (*int16, **string) {
	return &r.ErrorCode, &r.ErrorMessage
})
