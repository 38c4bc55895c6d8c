package handlers

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/quotas"
	"once/wire"
)

// AlterClientQuotas v0 and v1 (v1 flexible). Each entity has a result of its own; one that is given twice is refused
// (spec: admin 17).
func (s *Services) alterClientQuotas(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.AlterClientQuotasRequest), response[*kmsg.AlterClientQuotasResponse](r)
	named := func(e *kmsg.AlterClientQuotasRequestEntry) string { return quotaEntity(e).String() }
	times := counts(req.Entries, named)
	for i := range req.Entries {
		asked := &req.Entries[i]
		n := times[named(asked)]
		if n == 0 {
			continue // it has been answered
		}
		times[named(asked)] = 0
		entity := quotaEntity(asked)
		err := fmt.Errorf("%w: the entity stands in the request more than once", errInvalidRequest)
		if n == 1 {
			err = s.Quotas.Alter(entity, quotaChanges(asked), req.ValidateOnly)
		}
		entry := kmsg.NewAlterClientQuotasResponseEntry()
		entry.ErrorCode, entry.ErrorMessage = failure(err, r)
		for _, part := range shownEntity(entity) {
			e := kmsg.NewAlterClientQuotasResponseEntryEntity()
			e.Type, e.Name = string(part.Type), part.Name
			entry.Entity = append(entry.Entity, e)
		}
		resp.Entries = append(resp.Entries, entry)
	}
	return wire.Respond(resp)
}

// quotaEntity is the entity of an entry. Of a type that is given twice the last name counts, as in Kafka.
func quotaEntity(entry *kmsg.AlterClientQuotasRequestEntry) quotas.Entity {
	e := quotas.Entity{}
	for _, part := range entry.Entity {
		e[quotas.Type(strings.Clone(part.Type))] = cloneOrNil(part.Name)
	}
	return e
}

func cloneOrNil(s *string) *string {
	if s == nil {
		return nil
	}
	c := strings.Clone(*s)
	return &c
}

func quotaChanges(entry *kmsg.AlterClientQuotasRequestEntry) []quotas.Change {
	return eachOf(entry.Ops, func(op *kmsg.AlterClientQuotasRequestEntryOp) quotas.Change {
		return quotas.Change{Name: strings.Clone(op.Key), Value: op.Value, Remove: op.Remove}
	})
}

func failAlterClientQuotas(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.AlterClientQuotasRequest), response[*kmsg.AlterClientQuotasResponse](r)
	for i := range req.Entries {
		entry := kmsg.NewAlterClientQuotasResponseEntry()
		entry.ErrorCode, entry.ErrorMessage = int16(code), messageOrCode(message, code)
		for _, part := range req.Entries[i].Entity {
			e := kmsg.NewAlterClientQuotasResponseEntryEntity()
			e.Type, e.Name = part.Type, part.Name
			entry.Entity = append(entry.Entity, e)
		}
		resp.Entries = append(resp.Entries, entry)
	}
	return resp
}
