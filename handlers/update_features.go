package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// UpdateFeatures v0 to v2. v1 the kind of change, and only validating, v2 no results of single features any more. In v0
// a change is an upgrade, whatever the request allows, as in Kafka. An error stands for the whole request, and nothing
// is changed (spec: admin 14).
func (s *Services) updateFeatures(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.UpdateFeaturesRequest), response[*kmsg.UpdateFeaturesResponse](r)
	changes := make([]levelChange, len(req.FeatureUpdates))
	for i := range req.FeatureUpdates {
		u := &req.FeatureUpdates[i]
		changes[i] = levelChange{feature: u.Feature, level: u.MaxVersionLevel, upgradeType: u.UpgradeType}
		if r.Version == 0 {
			changes[i].upgradeType = upgrade
		}
	}
	if err := s.Features.update(changes, req.ValidateOnly); err != nil {
		return s.Fail(r, codeFor(err, r.Key, r.Version), err.Error())
	}
	if !req.ValidateOnly && !s.shareEnabled() {
		s.Shares.DropAll()
	}
	if r.Version < 2 {
		for i := range req.FeatureUpdates {
			result := kmsg.NewUpdateFeaturesResponseResult()
			result.Feature, result.ErrorMessage = req.FeatureUpdates[i].Feature, errorMessage(wire.NoError.String())
			resp.Results = append(resp.Results, result)
		}
	}
	return wire.Respond(resp)
}

// checkFeature is the step that refuses APIs whose feature is disabled.
func (s *Services) checkFeature(next handler) handler {
	return func(ctx context.Context, r *wire.Request, row *row) wire.Reply {
		if row.feature != "" && s.Features.Level(row.feature) == 0 {
			return s.Fail(r, wire.UnsupportedVersion, row.feature+" is 0")
		}
		return next(ctx, r, row)
	}
}

var failUpdateFeatures = failAtTop(func(r *kmsg.UpdateFeaturesResponse) (*int16, **string) {
	return &r.ErrorCode, &r.ErrorMessage
})
