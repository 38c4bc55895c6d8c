package streamsgroup

import (
	"once/internal/fields"
)

// The values of the records, version 0: an int16 version, then fields in the flexible encoding
// (spec: streams-groups 17).

// Tagged fields.
const (
	tagValidatedEpoch    = 0 // of groupRecord, int32
	tagAssignmentConfigs = 1 // of groupRecord, array of key and value
	tagAssignmentTime    = 0 // of targetEpochRecord, int64
	tagAssignmentEpochs  = 0 // of a list of active tasks, array of int32
)

func (r *groupRecord) AppendValue(dst []byte) []byte {
	dst = fields.AppendInt16(dst, valueVersion)
	dst = fields.AppendInt32(dst, r.epoch)
	dst = fields.AppendInt64(dst, r.hash)
	tags := uint64(0)
	if r.validatedEpoch != -1 {
		tags++
	}
	if r.configs != nil {
		tags++
	}
	dst = fields.AppendUvarint(dst, tags)
	if r.validatedEpoch != -1 {
		dst = fields.AppendTag(dst, tagValidatedEpoch, fields.AppendInt32(nil, r.validatedEpoch))
	}
	if r.configs != nil {
		dst = fields.AppendTag(dst, tagAssignmentConfigs, appendConfigs(nil, r.configs))
	}
	return dst
}

func (r *groupRecord) decode(v *fields.Reader) {
	r.epoch, r.hash = v.Int32(), v.Int64()
	v.Tags(func(number int, value *fields.Reader) {
		switch number {
		case tagValidatedEpoch:
			r.validatedEpoch = value.Int32()
		case tagAssignmentConfigs:
			r.configs = readConfigs(value)
		}
	})
}

func (r *memberRecord) AppendValue(dst []byte) []byte {
	m := r.metadata
	dst = fields.AppendInt16(dst, valueVersion)
	dst = fields.AppendCompactNullableString(dst, m.InstanceID)
	dst = fields.AppendCompactNullableString(dst, m.RackID)
	dst = fields.AppendCompactString(dst, m.ClientID)
	dst = fields.AppendCompactString(dst, m.ClientHost)
	dst = fields.AppendInt32(dst, m.RebalanceTimeoutMs)
	dst = fields.AppendInt32(dst, m.TopologyEpoch)
	dst = fields.AppendCompactString(dst, m.ProcessID)
	if m.Endpoint == nil {
		dst = append(dst, 0xff)
	} else {
		dst = fields.AppendCompactString(append(dst, 1), m.Endpoint.Host)
		dst = append(fields.AppendInt16(dst, int16(m.Endpoint.Port)), 0)
	}
	return append(appendConfigs(dst, m.ClientTags), 0)
}

func (r *memberRecord) decode(v *fields.Reader) {
	m := &Member{ID: r.member}
	m.InstanceID, m.RackID = v.CompactNullableString(), v.CompactNullableString()
	m.ClientID, m.ClientHost = v.CompactString(), v.CompactString()
	m.RebalanceTimeoutMs, m.TopologyEpoch, m.ProcessID = v.Int32(), v.Int32(), v.CompactString()
	if v.Int8() >= 0 {
		m.Endpoint = &Endpoint{Host: v.CompactString(), Port: uint16(v.Int16())}
		v.Tags(nil)
	}
	m.ClientTags = readConfigs(v)
	v.Tags(nil)
	r.metadata = m
}

func (r *targetEpochRecord) AppendValue(dst []byte) []byte {
	dst = fields.AppendInt32(fields.AppendInt16(dst, valueVersion), r.epoch)
	if r.timeMs == 0 {
		return append(dst, 0)
	}
	return fields.AppendTag(append(dst, 1), tagAssignmentTime, fields.AppendInt64(nil, r.timeMs))
}

func (r *targetEpochRecord) decode(v *fields.Reader) {
	r.epoch = v.Int32()
	v.Tags(func(number int, value *fields.Reader) {
		if number == tagAssignmentTime {
			r.timeMs = value.Int64()
		}
	})
}

func (r *targetRecord) AppendValue(dst []byte) []byte {
	dst = fields.AppendInt16(dst, valueVersion)
	dst = appendTasks(dst, r.target.Active)
	dst = appendTasks(dst, r.target.Standby)
	return append(appendTasks(dst, r.target.Warmup), 0)
}

func (r *targetRecord) decode(v *fields.Reader) {
	r.target = Assignment{Active: readTasks(v), Standby: readTasks(v), Warmup: readTasks(v)}
	v.Tags(nil)
}

func (r *currentRecord) AppendValue(dst []byte) []byte {
	dst = fields.AppendInt16(dst, valueVersion)
	dst = fields.AppendInt32(dst, r.epoch)
	dst = fields.AppendInt32(dst, r.previousEpoch)
	dst = append(dst, byte(r.state))
	for _, tasks := range []MemberTasks{r.assigned, r.pending} {
		dst = appendActiveTasks(dst, tasks.Active)
		dst = appendTasks(dst, tasks.Standby)
		dst = appendTasks(dst, tasks.Warmup)
	}
	return append(dst, 0)
}

func (r *currentRecord) decode(v *fields.Reader) {
	r.epoch, r.previousEpoch, r.state = v.Int32(), v.Int32(), MemberState(v.Int8())
	if v.Err() == nil && (r.state < Stable || r.state > UnreleasedTasks) {
		v.Fail("state %d of a member", r.state)
	}
	for _, tasks := range []*MemberTasks{&r.assigned, &r.pending} {
		tasks.Active, tasks.Standby, tasks.Warmup = readActiveTasks(v), readTasks(v), readTasks(v)
	}
	v.Tags(nil)
}

// groupedTasks calls each for each subtopology with its tasks, in order.
func groupedTasks(ids []TaskID, each func(subtopology string, ids []TaskID)) (groups int) {
	for len(ids) > 0 {
		n := 1
		for n < len(ids) && ids[n].Subtopology == ids[0].Subtopology {
			n++
		}
		if groups++; each != nil {
			each(ids[0].Subtopology, ids[:n])
		}
		ids = ids[n:]
	}
	return groups
}

func appendTasks(dst []byte, tasks TaskSet) []byte {
	return appendTaskLists(dst, sorted(tasks), func(dst []byte, _ []TaskID) []byte { return append(dst, 0) })
}

func appendActiveTasks(dst []byte, tasks ActiveTasks) []byte {
	return appendTaskLists(dst, sorted(tasks), func(dst []byte, ids []TaskID) []byte {
		epochs := fields.AppendCompactLen(nil, len(ids))
		for _, id := range ids {
			epochs = fields.AppendInt32(epochs, tasks[id])
		}
		return fields.AppendTag(append(dst, 1), tagAssignmentEpochs, epochs)
	})
}

func appendTaskLists(dst []byte, ids []TaskID, appendTags func([]byte, []TaskID) []byte) []byte {
	dst = fields.AppendCompactLen(dst, groupedTasks(ids, nil))
	groupedTasks(ids, func(subtopology string, ids []TaskID) {
		dst = fields.AppendCompactLen(fields.AppendCompactString(dst, subtopology), len(ids))
		for _, id := range ids {
			dst = fields.AppendInt32(dst, id.Partition)
		}
		dst = appendTags(dst, ids)
	})
	return dst
}

// minTaskListBytes is the size of an empty list: the lengths of the ID and of the array, and the number of tags.
const minTaskListBytes = 3

func readTasks(v *fields.Reader) TaskSet { return keys(readActiveTasks(v)) }

func readActiveTasks(v *fields.Reader) ActiveTasks {
	tasks := ActiveTasks{}
	for n := v.ArrayLen(minTaskListBytes); n > 0 && v.Err() == nil; n-- {
		subtopology := v.CompactString()
		partitions := make([]int32, max(v.ArrayLen(4), 0))
		for i := range partitions {
			partitions[i] = v.Int32()
		}
		epochs := make([]int32, len(partitions))
		v.Tags(func(number int, value *fields.Reader) {
			if number != tagAssignmentEpochs {
				return
			}
			if n := value.ArrayLen(4); n != len(partitions) {
				value.Fail("%d epochs of %d tasks", n, len(partitions))
			}
			for i := range epochs {
				epochs[i] = value.Int32()
			}
		})
		for i, partition := range partitions {
			tasks[TaskID{subtopology, partition}] = epochs[i]
		}
	}
	return tasks
}

func appendConfigs(dst []byte, configs []Config) []byte {
	dst = fields.AppendCompactLen(dst, len(configs))
	for _, c := range configs {
		dst = fields.AppendCompactString(dst, c.Key)
		dst = append(fields.AppendCompactString(dst, c.Value), 0)
	}
	return dst
}

func readConfigs(v *fields.Reader) []Config {
	n := v.ArrayLen(minTaskListBytes)
	if n < 0 {
		return nil
	}
	configs := make([]Config, n)
	for i := range configs {
		configs[i] = Config{v.CompactString(), v.CompactString()}
		v.Tags(nil)
	}
	return configs
}

func (r *topologyRecord) AppendValue(dst []byte) []byte {
	dst = fields.AppendInt32(fields.AppendInt16(dst, valueVersion), r.topology.Epoch)
	dst = fields.AppendCompactLen(dst, len(r.topology.Subtopologies))
	for i := range r.topology.Subtopologies {
		s := &r.topology.Subtopologies[i]
		dst = fields.AppendCompactString(dst, s.ID)
		dst = fields.AppendCompactStrings(dst, s.SourceTopics)
		dst = fields.AppendCompactLen(dst, 0) // source topic regular expressions
		dst = appendInternalTopics(dst, s.ChangelogTopics)
		dst = fields.AppendCompactStrings(dst, s.RepartitionSinkTopics)
		dst = appendInternalTopics(dst, s.RepartitionSourceTopics)
		dst = fields.AppendCompactLen(dst, len(s.CopartitionGroups))
		for _, g := range s.CopartitionGroups {
			dst = appendIndexes(dst, g.SourceTopics)
			dst = fields.AppendCompactLen(dst, 0) // source topic regular expressions
			dst = append(appendIndexes(dst, g.RepartitionSourceTopics), 0)
		}
		dst = append(dst, 0)
	}
	return append(dst, 0)
}

// minSubtopologyBytes is the size of an empty one: its ID, six arrays and the number of tags.
const minSubtopologyBytes = 8

func (r *topologyRecord) decode(v *fields.Reader) { r.topology = readTopology(v) }

func readTopology(v *fields.Reader) *Topology {
	epoch := v.Int32()
	subtopologies := make([]Subtopology, max(v.ArrayLen(minSubtopologyBytes), 0))
	for i := range subtopologies {
		s := &subtopologies[i]
		s.ID, s.SourceTopics = v.CompactString(), readStrings(v)
		readStrings(v)
		s.ChangelogTopics, s.RepartitionSinkTopics = readInternalTopics(v), readStrings(v)
		s.RepartitionSourceTopics = readInternalTopics(v)
		for n := v.ArrayLen(4); n > 0 && v.Err() == nil; n-- {
			var g CopartitionGroup
			g.SourceTopics = readIndexes(v)
			readIndexes(v)
			g.RepartitionSourceTopics = readIndexes(v)
			v.Tags(nil)
			s.CopartitionGroups = append(s.CopartitionGroups, g)
		}
		v.Tags(nil)
	}
	v.Tags(nil)
	if v.Err() != nil {
		return nil
	}
	t, err := NewTopology(epoch, subtopologies)
	if err != nil {
		v.Fail("%v", err)
	}
	return t
}

func readStrings(v *fields.Reader) []string {
	var list []string
	for n := v.ArrayLen(1); n > 0 && v.Err() == nil; n-- {
		list = append(list, v.CompactString())
	}
	return list
}

func appendIndexes(dst []byte, list []int16) []byte {
	dst = fields.AppendCompactLen(dst, len(list))
	for _, i := range list {
		dst = fields.AppendInt16(dst, i)
	}
	return dst
}

func readIndexes(v *fields.Reader) []int16 {
	var list []int16
	for n := v.ArrayLen(2); n > 0 && v.Err() == nil; n-- {
		list = append(list, v.Int16())
	}
	return list
}

func appendInternalTopics(dst []byte, list []InternalTopic) []byte {
	dst = fields.AppendCompactLen(dst, len(list))
	for _, t := range list {
		dst = fields.AppendInt32(fields.AppendCompactString(dst, t.Name), t.Partitions)
		dst = fields.AppendInt16(dst, t.ReplicationFactor)
		dst = append(appendConfigs(dst, t.Configs), 0)
	}
	return dst
}

// minInternalTopicBytes is the size of one without name and configs.
const minInternalTopicBytes = 9

func readInternalTopics(v *fields.Reader) []InternalTopic {
	var list []InternalTopic
	for n := v.ArrayLen(minInternalTopicBytes); n > 0 && v.Err() == nil; n-- {
		t := InternalTopic{Name: v.CompactString(), Partitions: v.Int32(), ReplicationFactor: v.Int16(),
			Configs: readConfigs(v)}
		v.Tags(nil)
		list = append(list, t)
	}
	return list
}
