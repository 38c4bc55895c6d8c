package handlers

import (
	"context"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// A rule for a topic, with an error, spoils the part of a request that is about that topic; the rest is carried out.
// The functions here find those parts in requests and answers of any API by the names that kmsg gives their fields.

// fail carries out what the rule spares, or all when it says so, and puts the error in the place of the rest.
func (f *faulted) fail(ctx context.Context) wire.Reply {
	_, isFetch := f.r.Body.(*kmsg.FetchRequest)
	switch {
	case f.d.Part == nil || !isFetch && !hasPlaces(reflect.TypeOf(f.r.Body.ResponseKind()).Elem()):
		return f.failWhole(ctx)
	case f.d.Do.CarriedOut || f.s.named(f.r, f.row).AllTopics:
		return f.spoil(f.whole(ctx, f.r))
	case isFetch: // in a session it names only what has changed, so the handler looks
		return f.whole(context.WithValue(ctx, spoiledKey{}, f), f.r)
	}
	return f.failPart(ctx)
}

// failWhole answers with nothing but the error, after the request has been carried out if the rule says so.
func (f *faulted) failWhole(ctx context.Context) wire.Reply {
	asked := cloneRequest(f.r)
	if f.d.Do.CarriedOut {
		release(f.whole(ctx, f.r))
	}
	return f.s.Fail(asked, f.d.Code, errorMessageOfFault)
}

// failPart splits the request: the part that the rule is for is failed, the rest carried out, and the answers merged.
func (f *faulted) failPart(ctx context.Context) wire.Reply {
	spoiled := cloneRequest(f.r)
	rest := f.filter(reflect.ValueOf(f.r.Body).Elem(), false)
	f.filter(reflect.ValueOf(spoiled.Body).Elem(), true)
	failed := f.s.Fail(spoiled, f.d.Code, errorMessageOfFault)
	if !rest {
		return f.failed(spoiled, failed)
	}
	reply := f.whole(ctx, f.r)
	if failed.Response == nil { // as for a Produce that wants no answer
		release(reply)
		return failed
	}
	if reply.Response != nil {
		f.merge(reflect.ValueOf(spoiled.Body).Elem(), fieldsOf(reply.Response), fieldsOf(failed.Response))
	}
	return reply
}

// failed is the answer when nothing of the request is spared: with the error at each partition, where it has a place
// there.
func (f *faulted) failed(spoiled *wire.Request, failed wire.Reply) wire.Reply {
	if failed.Response == nil {
		return failed
	}
	resp := spoiled.Body.ResponseKind()
	f.merge(reflect.ValueOf(spoiled.Body).Elem(), fieldsOf(resp), fieldsOf(failed.Response))
	if f.setCodes(fieldsOf(resp)) {
		return wire.Respond(resp)
	}
	return failed
}

// fieldsOf returns the fields of an answer. Answers that are encoded here embed that of kmsg.
func fieldsOf(resp kmsg.Response) reflect.Value {
	v := reflect.Indirect(reflect.ValueOf(resp))
	if f := v.Type().Field(0); f.Anonymous {
		return v.Field(0).Elem()
	}
	return v
}

// hasPlaces says whether an answer has a place for the code of a topic or a partition. Where it has none, an error is
// that of the whole answer.
func hasPlaces(answer reflect.Type) bool {
	for i := range answer.NumField() {
		list := answer.Field(i).Type
		if list.Kind() != reflect.Slice || list.Elem().Kind() != reflect.Struct {
			continue
		}
		entry := list.Elem()
		if _, has := entry.FieldByName("ErrorCode"); has && isTopicEntry(entry) {
			return true
		}
		partitions, has := entry.FieldByName("Partitions")
		if has && isTopicEntry(entry) && partitions.Type.Kind() == reflect.Slice &&
			partitions.Type.Elem().Kind() == reflect.Struct {
			if _, has := partitions.Type.Elem().FieldByName("ErrorCode"); has {
				return true
			}
		}
		if !isTopicEntry(entry) && hasPlaces(entry) {
			return true
		}
	}
	return false
}

// code is the code for this version.
func (f *faulted) code() int64 { return int64(downgrade(f.d.Code, f.r.Key, f.r.Version)) }

// isPart says whether a topic, or a partition of it, is what the rule is for. A topic as a whole has partition -1.
func (f *faulted) isPart(topic reflect.Value, partition int32) bool {
	return f.d.Part(f.s.topicNameIn(topic), partition)
}

// topicNameIn returns the topic of an entry that names one, by name or by ID.
func (s *Services) topicNameIn(entry reflect.Value) string {
	for _, name := range []string{"Topic", "ResourceName"} {
		if v := entry.FieldByName(name); v.IsValid() {
			if v.Kind() == reflect.Pointer {
				if v.IsNil() {
					continue
				}
				v = v.Elem()
			}
			if v.String() != "" {
				return v.String()
			}
		}
	}
	if v := entry.FieldByName("TopicID"); v.IsValid() {
		if t, code := s.Catalogue.TopicByID(v.Interface().([16]byte)); code == wire.NoError {
			return t.Name
		}
	}
	return ""
}

// isTopicEntry says whether the entries of a list each stand for a topic.
func isTopicEntry(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for _, name := range []string{"Topic", "TopicID", "ResourceName"} {
		if _, ok := t.FieldByName(name); ok {
			return true
		}
	}
	return false
}

// filter keeps the entries in a request that the rule is for, or the others, and says whether any is left.
func (f *faulted) filter(request reflect.Value, spoiled bool) (left bool) {
	for i := range request.NumField() {
		list := request.Field(i)
		if list.Kind() != reflect.Slice {
			continue
		}
		name := request.Type().Field(i).Name
		elem := list.Type().Elem()
		switch {
		case name == "TopicNames":
			left = keep(list, func(e reflect.Value) bool { return f.d.Part(e.String(), -1) == spoiled }) || left
		case isTopicEntry(elem):
			left = keep(list, func(e reflect.Value) bool { return f.keepsTopic(e, spoiled) }) || left
		case elem.Kind() == reflect.Struct && hasTopicLists(elem):
			left = keep(list, func(e reflect.Value) bool { return f.filter(e, spoiled) }) || left
		}
	}
	return left
}

func (f *faulted) keepsTopic(topic reflect.Value, spoiled bool) bool {
	partitions := topic.FieldByName("Partitions")
	if !partitions.IsValid() || partitions.Kind() != reflect.Slice {
		return f.isPart(topic, -1) == spoiled
	}
	return keep(partitions, func(p reflect.Value) bool { return f.isPart(topic, partitionIn(p)) == spoiled })
}

// partitionIn returns the index of an entry for a partition.
func partitionIn(entry reflect.Value) int32 {
	if entry.Kind() == reflect.Struct {
		entry = entry.FieldByName("Partition")
	}
	return int32(entry.Int())
}

func hasTopicLists(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i).Type; f.Kind() == reflect.Slice && isTopicEntry(f.Elem()) {
			return true
		}
	}
	return false
}

// keep keeps some entries of a list, and says whether there are any.
func keep(list reflect.Value, keeps func(reflect.Value) bool) bool {
	n := 0
	for i := range list.Len() {
		if e := list.Index(i); keeps(e) {
			list.Index(n).Set(e)
			n++
		}
	}
	list.SetLen(n)
	return n > 0
}

// spoil puts the error into the answer of a request that was carried out.
func (f *faulted) spoil(reply wire.Reply) wire.Reply {
	switch resp := reply.Response.(type) {
	case nil:
	case *fetchResponse:
		f.setCodes(fieldsOf(resp))
		resp.dropFailed()
	default:
		f.setCodes(fieldsOf(resp))
	}
	return reply
}

// setCodes sets the code of each entry of an answer that the rule is for, and says whether there is any.
func (f *faulted) setCodes(answer reflect.Value) (set bool) {
	for i := range answer.NumField() {
		list := answer.Field(i)
		if list.Kind() != reflect.Slice || list.Type().Elem().Kind() != reflect.Struct {
			continue
		}
		for j := range list.Len() {
			switch e := list.Index(j); {
			case isTopicEntry(e.Type()):
				set = f.setTopicCode(e) || set
			case hasTopicLists(e.Type()):
				set = f.setCodes(e) || set
			}
		}
	}
	return set
}

func (f *faulted) setTopicCode(topic reflect.Value) (set bool) {
	if partitions := topic.FieldByName("Partitions"); partitions.IsValid() && partitions.Kind() == reflect.Slice {
		for i := range partitions.Len() {
			p := partitions.Index(i)
			if p.Kind() != reflect.Struct || !f.isPart(topic, partitionIn(p)) {
				continue
			}
			if code := p.FieldByName("ErrorCode"); code.IsValid() {
				code.SetInt(f.code())
				set = true
			}
		}
	}
	if code := topic.FieldByName("ErrorCode"); !set && code.IsValid() && f.isPart(topic, -1) {
		code.SetInt(f.code())
		set = true
	}
	return set
}

// spoiledKey is the key of the *faulted in the context of a Fetch.
type spoiledKey struct{}

// spoiledBy returns the code for a partition that a rule spoils.
func spoiledBy(ctx context.Context) func(topic string, partition int32) wire.Code {
	f, ok := ctx.Value(spoiledKey{}).(*faulted)
	if !ok {
		return nil
	}
	return func(topic string, partition int32) wire.Code {
		if f.d.Part(topic, partition) {
			return wire.Code(f.code())
		}
		return wire.NoError
	}
}

// throttled sets the throttle time of an answer.
func throttled(reply wire.Reply, by time.Duration) wire.Reply {
	if reply.Response != nil {
		if v := fieldsOf(reply.Response).FieldByName("ThrottleMillis"); v.IsValid() {
			v.SetInt(by.Milliseconds())
		}
	}
	return reply
}

// membersIn returns the member IDs and group instance IDs in a request.
func membersIn(body kmsg.Request) (members []string) {
	v := reflect.ValueOf(body).Elem()
	add := func(v reflect.Value) {
		for _, name := range []string{"MemberID", "InstanceID"} {
			id := v.FieldByName(name)
			if id.IsValid() && id.Kind() == reflect.Pointer && !id.IsNil() {
				id = id.Elem()
			}
			if id.IsValid() && id.Kind() == reflect.String && id.String() != "" {
				members = append(members, id.String())
			}
		}
	}
	add(v)
	if list := v.FieldByName("Members"); list.IsValid() && list.Kind() == reflect.Slice {
		for i := range list.Len() {
			if list.Index(i).Kind() == reflect.Struct {
				add(list.Index(i))
			}
		}
	}
	return members
}
