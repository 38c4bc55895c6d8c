package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/topics"
	"once/wire"
)

// DeleteTopics v1 to v6. v4 flexible, v5 error messages, v6 topics by name or by ID. A topic named more than once, in
// the same way or in both, is answered once and not deleted.
//
// Internal topics cannot be deleted.
func (s *Services) deleteTopics(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DeleteTopicsRequest), response[*kmsg.DeleteTopicsResponse](r)
	asked := topicRefs(req)
	d := deletion{s: s, quota: s.mutations(r, 5), version: r.Version, times: map[string]int{},
		timesByID: map[[16]byte]int{}, resp: resp}
	for _, ref := range asked {
		d.count(ref)
	}
	if req.TimeoutMillis <= 0 && d.findsAny(asked) {
		return s.Fail(r, wire.RequestTimedOut, "")
	}
	for _, ref := range asked {
		d.delete(ref)
	}
	return d.quota.respond(resp)
}

// topicRef names a topic by name or by ID.
type topicRef struct {
	name *string
	id   [16]byte
}

// topicRefs returns the topics of a request.
func topicRefs(req *kmsg.DeleteTopicsRequest) []topicRef {
	asked := make([]topicRef, 0, len(req.Topics)+len(req.TopicNames))
	for i := range req.Topics {
		asked = append(asked, topicRef{req.Topics[i].Topic, req.Topics[i].TopicID})
	}
	for i := range req.TopicNames {
		asked = append(asked, topicRef{name: &req.TopicNames[i]})
	}
	return asked
}

// makesSense says whether exactly one of name and ID is given.
func (t topicRef) makesSense() bool { return (t.name == nil) != (t.id == [16]byte{}) }

// deletion is one request.
type deletion struct {
	s         *Services
	quota     *mutations
	version   int16
	times     map[string]int // how often a name is given; 0 again when that was answered
	timesByID map[[16]byte]int
	resp      *kmsg.DeleteTopicsResponse
}

func (d *deletion) count(t topicRef) {
	switch {
	case !t.makesSense():
	case t.name != nil:
		d.times[*t.name]++
	default:
		d.timesByID[t.id]++
	}
}

// given returns how often the request names a topic in this way.
func (d *deletion) given(t topicRef) int {
	if t.name != nil {
		return d.times[*t.name]
	}
	return d.timesByID[t.id]
}

// findsAny says whether any topic is to be looked up.
func (d *deletion) findsAny(asked []topicRef) bool {
	for _, t := range asked {
		if t.makesSense() && d.given(t) == 1 {
			return true
		}
	}
	return false
}

func (d *deletion) answer(t topicRef, code wire.Code, message string) {
	a := kmsg.NewDeleteTopicsResponseTopic()
	a.Topic, a.TopicID = t.name, t.id
	if code != wire.NoError {
		a.ErrorCode, a.ErrorMessage = int16(code), errorMessage(message)
	}
	d.resp.Topics = append(d.resp.Topics, a)
}

// delete deletes one topic and answers for it.
func (d *deletion) delete(t topicRef) {
	if !d.s.Settings.DeleteTopicEnable {
		code := wire.TopicDeletionDisabled
		if d.version < 3 {
			code = wire.InvalidRequest
		}
		d.answer(t, code, "delete.topic.enable is false")
		return
	}
	if !t.makesSense() {
		d.answer(t, wire.InvalidRequest, "a topic is named either by its name or by its ID")
		return
	}
	switch n := d.given(t); {
	case n == 0: // answered already
		return
	case n > 1:
		if t.name != nil {
			d.times[*t.name] = 0
		} else {
			d.timesByID[t.id] = 0
		}
		d.answer(t, wire.InvalidRequest, "the topic stands in the request more than once")
		return
	}
	topic, code, message := d.find(t)
	if code != wire.NoError {
		d.answer(t, code, message)
		return
	}
	full := topicRef{&topic.Name, topic.ID}
	switch {
	case d.times[topic.Name] == 1 && d.timesByID[topic.ID] == 1:
		if t.name != nil { // answered once for both
			d.answer(full, wire.InvalidRequest, "the topic is named by its name and by its ID")
		}
		return
	case topic.Internal:
		code, message = wire.InvalidTopicException, fmt.Sprintf("topic %q holds the broker's own state", topic.Name)
	default:
		err := d.quota.take(len(topic.Partitions()))
		if err == nil {
			err = d.s.Topics.Delete(topic.Name)
		}
		if err != nil {
			code, message = codeFor(err, int16(kmsg.DeleteTopics), d.version), err.Error()
		}
	}
	d.answer(full, code, message)
}

// find returns the topic, or the code and the message for the answer.
func (d *deletion) find(t topicRef) (*topics.Topic, wire.Code, string) {
	if t.name == nil {
		topic, code := d.s.Catalogue.TopicByID(t.id)
		return topic, code, "no topic has this ID"
	}
	d.s.createNow(*t.name)
	topic, code := d.s.Catalogue.Topic(*t.name)
	return topic, code, fmt.Sprintf("there is no topic %q", *t.name)
}

func failDeleteTopics(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	resp := response[*kmsg.DeleteTopicsResponse](r)
	for _, ref := range topicRefs(r.Body.(*kmsg.DeleteTopicsRequest)) {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID, t.ErrorCode = ref.name, ref.id, int16(code)
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutDeleteTopics(c Catalogue, r *wire.Request) Subjects {
	return Subjects{Topics: eachOf(topicRefs(r.Body.(*kmsg.DeleteTopicsRequest)), func(t *topicRef) TopicSubject {
		return c.subject(orEmpty(t.name), t.id, t.name == nil, nil)
	})}
}
