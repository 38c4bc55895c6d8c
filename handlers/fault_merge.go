package handlers

import "reflect"

// merge adds to an answer the entries for the spoiled part of a request: those of an answer that failed as a whole,
// else new ones.
func (f *faulted) merge(request, into, failed reflect.Value) {
	for i := range into.NumField() {
		list, name := into.Field(i), into.Type().Field(i).Name
		if list.Kind() != reflect.Slice || list.Type().Elem().Kind() != reflect.Struct {
			continue
		}
		elem := list.Type().Elem()
		asked := request.FieldByName(name)
		switch other := failed.FieldByName(name); {
		case isTopicEntry(elem) && other.IsValid() && other.Len() > 0:
			for j := range other.Len() {
				f.mergeTopic(list, other.Index(j))
			}
		case isTopicEntry(elem) && asked.IsValid():
			for j := range asked.Len() {
				f.mergeTopic(list, f.failedTopic(elem, asked.Index(j)))
			}
		case hasTopicLists(elem) && asked.IsValid():
			f.mergeNested(asked, list)
		}
	}
}

// mergeNested merges lists of topics that stand below a group or a transactional ID, which the first field names.
func (f *faulted) mergeNested(asked, list reflect.Value) {
	for i := range asked.Len() {
		owner := asked.Index(i)
		at := -1
		for j := range list.Len() {
			if list.Index(j).Field(0).Interface() == owner.Field(0).Interface() {
				at = j
			}
		}
		if at < 0 {
			e := reflect.New(list.Type().Elem())
			e.Interface().(interface{ Default() }).Default()
			e.Elem().Field(0).Set(owner.Field(0))
			list.Set(reflect.Append(list, e.Elem()))
			at = list.Len() - 1
		}
		f.merge(owner, list.Index(at), reflect.New(list.Type().Elem()).Elem())
	}
}

// failedTopic makes the entry for a topic of a request in an answer.
func (f *faulted) failedTopic(of reflect.Type, asked reflect.Value) reflect.Value {
	topic := withDefaults(of)
	copyField(topic, asked, "Topic")
	copyField(topic, asked, "TopicID")
	partitions, from := topic.FieldByName("Partitions"), asked.FieldByName("Partitions")
	if !partitions.IsValid() || !from.IsValid() {
		if code := topic.FieldByName("ErrorCode"); code.IsValid() {
			code.SetInt(f.code())
		}
		return topic
	}
	for i := range from.Len() {
		p := withDefaults(partitions.Type().Elem())
		p.FieldByName("Partition").SetInt(int64(partitionIn(from.Index(i))))
		if code := p.FieldByName("ErrorCode"); code.IsValid() {
			code.SetInt(f.code())
		}
		partitions.Set(reflect.Append(partitions, p))
	}
	return topic
}

// unknownNumbers are the fields that are -1 where there is an error.
var unknownNumbers = []string{"Offset", "BaseOffset", "Timestamp", "LeaderEpoch", "LogAppendTimeMillis",
	"LogStartOffset", "LowWatermark"}

func withDefaults(of reflect.Type) reflect.Value {
	e := reflect.New(of)
	e.Interface().(interface{ Default() }).Default()
	for _, name := range unknownNumbers {
		if v := e.Elem().FieldByName(name); v.IsValid() && v.CanInt() {
			v.SetInt(-1)
		}
	}
	return e.Elem()
}

func copyField(to, from reflect.Value, name string) {
	if t, f := to.FieldByName(name), from.FieldByName(name); t.IsValid() && f.IsValid() && f.Type() == t.Type() {
		t.Set(f)
	}
}

// mergeTopic adds an entry for a topic, to the partitions of one for the same topic if there is one.
func (f *faulted) mergeTopic(list, topic reflect.Value) {
	if partitions := topic.FieldByName("Partitions"); partitions.IsValid() && partitions.Kind() == reflect.Slice {
		for i := range list.Len() {
			if f.s.topicNameIn(list.Index(i)) == f.s.topicNameIn(topic) {
				into := list.Index(i).FieldByName("Partitions")
				into.Set(reflect.AppendSlice(into, partitions))
				return
			}
		}
	}
	list.Set(reflect.Append(list, topic))
}
