package handlers

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/faults"
	"once/topics"
	"once/wire"
)

// A rule with a topic and an error spoils, in every API and version that names topics, the matching partition's part of
// the answer and no other one, whether the request is carried out or not.
func TestErrorForOnePartition(t *testing.T) {
	s := newServices(t, &blocks{})
	ids := map[string][16]byte{}
	for _, name := range []string{"a", "b"} {
		topic, err := s.Topics.Create(topics.Spec{Name: name, Partitions: 2})
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = topic.ID
	}
	shown := 0
	for _, api := range FaultAPIs() {
		if api.Names&faults.Topics == 0 || api.Key == int16(kmsg.Fetch) { // a Fetch looks by itself
			continue
		}
		of := s.byKey[api.Key]
		for version := of.Min; version <= of.Max; version++ {
			for _, carriedOut := range []bool{false, true} {
				r := &wire.Request{Key: api.Key, Version: version, Body: aboutTopics(api.Key, version, ids)}
				part := func(topic string, partition int32) bool { return topic == "a" && partition != 0 }
				f := &faulted{s: s, row: of, r: r, d: &faults.Decision{Do: faults.Do{Error: "x", CarriedOut: carriedOut},
					Code: wire.NotController, Part: part}}
				done := ""
				f.next = func(_ context.Context, r *wire.Request, row *row) wire.Reply {
					done = topicsIn(s, reflect.ValueOf(r.Body).Elem())
					resp := row.fail(r, wire.NoError, "")
					f.merge(reflect.ValueOf(r.Body).Elem(), fieldsOf(resp), fieldsOf(resp.RequestKind().ResponseKind()))
					(&faulted{s: s, r: r, d: &faults.Decision{Part: func(string,
						int32) bool {
						return true
					}}}).setCodes(fieldsOf(resp))
					return wire.Respond(resp)
				}
				reply := f.fail(t.Context())
				if reply.Response == nil {
					t.Errorf("%s v%d: no answer", api.Name, version)
					continue
				}
				v := fieldsOf(reply.Response)
				if !hasPlaces(reflect.TypeOf(r.Body.ResponseKind()).Elem()) {
					continue
				}
				got := codesIn(s, v)
				if top := v.FieldByName("ErrorCode"); top.IsValid() && top.Int() != 0 {
					got += fmt.Sprintf(" all:%d", top.Int())
				}
				shown++
				if strings.Contains(got, "a-1:41") { // by partitions
					if strings.Contains(got, "a-0:41") || strings.Contains(got, "b-0:41") || strings.Contains(got, "all:") {
						t.Errorf("%s v%d carriedOut=%v: %s", api.Name, version, carriedOut, got)
					}
					if !carriedOut && (strings.Contains(done, "a-1") || !strings.Contains(done, "a-0") ||
						!strings.Contains(done, "b-1")) {
						t.Errorf("%s v%d: carried out is %s", api.Name, version, done)
					}
				} else if !strings.Contains(got, " a:41") || strings.Contains(got, " b:41") || strings.Contains(got, "all:") {
					t.Errorf("%s v%d carriedOut=%v: %s", api.Name, version, carriedOut, got)
				}
			}
		}
	}
	if shown < 100 {
		t.Errorf("%d cases", shown)
	}
}

// aboutTopics is a request about the topics a and b, each with partitions 0 and 1 where it names some.
func aboutTopics(key, version int16, ids map[string][16]byte) kmsg.Request {
	body := kmsg.RequestForKey(key)
	body.SetVersion(version)
	var topicLists func(v reflect.Value)
	topicLists = func(v reflect.Value) {
		for i := range v.NumField() {
			list, name := v.Field(i), v.Type().Field(i).Name
			if list.Kind() != reflect.Slice {
				continue
			}
			elem := list.Type().Elem()
			switch {
			case name == "TopicNames":
				list.Set(reflect.ValueOf([]string{"a", "b"}))
			case isTopicEntry(elem):
				list.Set(reflect.MakeSlice(list.Type(), 2, 2))
				for j, topic := range []string{"a", "b"} {
					fillTopic(list.Index(j), topic, ids[topic])
				}
			case elem.Kind() == reflect.Struct && hasTopicLists(elem):
				list.Set(reflect.MakeSlice(list.Type(), 1, 1))
				fill(list.Index(0).Field(0), 0)
				topicLists(list.Index(0))
			}
		}
	}
	topicLists(reflect.ValueOf(body).Elem())
	if p, ok := body.(*kmsg.ProduceRequest); ok {
		p.Acks = -1
	}
	return body
}

func fillTopic(entry reflect.Value, name string, id [16]byte) {
	for _, field := range []string{"Topic", "ResourceName"} {
		switch v := entry.FieldByName(field); {
		case !v.IsValid():
		case v.Kind() == reflect.Pointer:
			v.Set(reflect.ValueOf(&name))
		default:
			v.SetString(name)
		}
	}
	if v := entry.FieldByName("ResourceType"); v.IsValid() {
		v.SetInt(int64(kmsg.ConfigResourceTypeTopic))
	}
	if v := entry.FieldByName("TopicID"); v.IsValid() {
		v.Set(reflect.ValueOf(id))
	}
	if list := entry.FieldByName("Partitions"); list.IsValid() && list.Kind() == reflect.Slice {
		list.Set(reflect.MakeSlice(list.Type(), 2, 2))
		if p := list.Index(1); p.Kind() == reflect.Struct {
			p.FieldByName("Partition").SetInt(1)
		} else {
			p.SetInt(1)
		}
	}
}

func topicsIn(s *Services, v reflect.Value) string { return entriesIn(s, v, false) }
func codesIn(s *Services, v reflect.Value) string  { return entriesIn(s, v, true) }

// entriesIn lists the topics and partitions in a request or an answer, with their codes.
func entriesIn(s *Services, v reflect.Value, codes bool) (text string) {
	code := func(e reflect.Value) string {
		if c := e.FieldByName("ErrorCode"); codes && c.IsValid() {
			return fmt.Sprintf(":%d", c.Int())
		}
		return ""
	}
	for i := range v.NumField() {
		list := v.Field(i)
		if list.Kind() != reflect.Slice {
			continue
		}
		for j := range list.Len() {
			switch e := list.Index(j); {
			case isTopicEntry(e.Type()):
				name := s.topicNameIn(e)
				text += " " + name + code(e)
				partitions := e.FieldByName("Partitions")
				for k := 0; partitions.IsValid() && partitions.Kind() == reflect.Slice && k < partitions.Len(); k++ {
					p := partitions.Index(k)
					text += fmt.Sprintf(" %s-%d", name, partitionIn(p))
					if p.Kind() == reflect.Struct {
						text += code(p)
					}
				}
			case e.Kind() == reflect.Struct && hasTopicLists(e.Type()):
				text += entriesIn(s, e, codes)
			}
		}
	}
	return text
}

// A request that is carried out later, or twice, does not point into the frame.
func TestClonedRequestIsApart(t *testing.T) {
	for _, row := range rows() {
		body := kmsg.RequestForKey(row.Key)
		fill(reflect.ValueOf(body).Elem(), 0)
		body.SetVersion(row.Max)
		before := body.AppendTo(nil)
		clone := cloneRequest(&wire.Request{Key: row.Key, Version: row.Max, Body: body})
		fill2(reflect.ValueOf(body).Elem())
		if got := clone.Body.AppendTo(nil); string(got) != string(before) {
			t.Errorf("%s changes with its original", kmsg.NameForKey(row.Key))
		}
	}
}

// fill2 overwrites what lists point to.
func fill2(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			if v.Type().Elem().Kind() == reflect.Uint8 {
				v.Index(i).SetUint(77)
			} else {
				fill2(v.Index(i))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill2(v.Field(i))
			}
		}
	case reflect.String:
		v.SetString("changed")
	case reflect.Int32:
		v.SetInt(99)
	}
}
