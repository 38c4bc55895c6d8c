package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/topics"
	"once/wire"
)

// Disk is the data directory and the file system that it is on.
type Disk struct {
	Dir        string // absolute
	TotalBytes int64  // -1 unknown
	FreeBytes  int64  // -1 unknown
}

// DescribeLogDirs v1 to v5. v2 flexible, v3 a code for the whole answer, v4 the size of the file system, v5 says
// whether the directory is cordoned, which this one never is. There is one directory (spec: admin 12).
func (s *Services) describeLogDirs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeLogDirsRequest), response[*kmsg.DescribeLogDirsResponse](r)
	disk := s.Disk()
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir, dir.TotalBytes, dir.UsableBytes = disk.Dir, disk.TotalBytes, disk.FreeBytes
	if req.Topics == nil {
		for _, t := range s.Catalogue.All() {
			dir.Topics = append(dir.Topics, logDirTopic(t, nil))
		}
	}
	for _, asked := range mergeBy(req.Topics,
		func(t *kmsg.DescribeLogDirsRequestTopic) string { return t.Topic },
		func(into, more *kmsg.DescribeLogDirsRequestTopic) {
			into.Partitions = append(into.Partitions, more.Partitions...)
		}) {
		t, code := s.Catalogue.Topic(asked.Topic)
		if code != wire.NoError {
			continue
		}
		indexes := lastOfEach(asked.Partitions, func(i *int32) int32 { return *i })
		if found := logDirTopic(t, orNone(indexes)); len(found.Partitions) > 0 {
			dir.Topics = append(dir.Topics, found)
		}
	}
	resp.Dirs = append(resp.Dirs, dir)
	return wire.Respond(resp)
}

// orNone makes a list that is not null.
func orNone(list []int32) []int32 {
	if list == nil {
		return []int32{}
	}
	return list
}

// logDirTopic describes those of the partitions that exist; nil means all.
func logDirTopic(t *topics.Topic, indexes []int32) kmsg.DescribeLogDirsResponseDirTopic {
	out := kmsg.NewDescribeLogDirsResponseDirTopic()
	out.Topic = t.Name
	if indexes == nil {
		for i := range t.Partitions() {
			indexes = append(indexes, int32(i))
		}
	}
	for _, i := range indexes {
		p, code := partitionOf(t, i)
		if code != wire.NoError {
			continue
		}
		described := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		described.Partition, described.Size = i, p.SizeBytes()
		out.Partitions = append(out.Partitions, described)
	}
	return out
}

var failDescribeLogDirs = failAtTop(func(r *kmsg.DescribeLogDirsResponse) (*int16, **string) {
	return &r.ErrorCode, nil
})

// AlterReplicaLogDirs v1 and v2 (v2 flexible): a partition is in the one directory already. Of a partition that is
// given twice the last directory counts (spec: admin 12).
func (s *Services) alterReplicaLogDirs(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.AlterReplicaLogDirsRequest), response[*kmsg.AlterReplicaLogDirsResponse](r)
	own := s.Disk().Dir
	for i := range req.Dirs {
		for _, asked := range req.Dirs[i].Topics {
			t := kmsg.NewAlterReplicaLogDirsResponseTopic()
			t.Topic = asked.Topic
			for _, index := range asked.Partitions {
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				_, code := s.Catalogue.Partition(asked.Topic, index)
				if req.Dirs[i].Dir != own {
					code = wire.LogDirNotFound
				}
				p.Partition, p.ErrorCode = index, int16(code)
				t.Partitions = append(t.Partitions, p)
			}
			if len(t.Partitions) > 0 {
				resp.Topics = append(resp.Topics, t)
			}
		}
	}
	resp.Topics = mergeBy(resp.Topics,
		func(t *kmsg.AlterReplicaLogDirsResponseTopic) string { return t.Topic },
		func(into, more *kmsg.AlterReplicaLogDirsResponseTopic) {
			into.Partitions = append(into.Partitions, more.Partitions...)
		})
	for i := range resp.Topics {
		t := &resp.Topics[i]
		t.Partitions = lastOfEach(t.Partitions,
			func(p *kmsg.AlterReplicaLogDirsResponseTopicPartition) int32 { return p.Partition })
	}
	return wire.Respond(resp)
}

func failAlterReplicaLogDirs(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.AlterReplicaLogDirsRequest), response[*kmsg.AlterReplicaLogDirsResponse](r)
	for i := range req.Dirs {
		for _, asked := range req.Dirs[i].Topics {
			t := kmsg.NewAlterReplicaLogDirsResponseTopic()
			t.Topic = asked.Topic
			for _, index := range asked.Partitions {
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				p.Partition, p.ErrorCode = index, int16(code)
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
	}
	return resp
}

func aboutAlterReplicaLogDirs(_ Catalogue, r *wire.Request) Subjects {
	var s Subjects
	for _, dir := range r.Body.(*kmsg.AlterReplicaLogDirsRequest).Dirs {
		for _, t := range dir.Topics {
			s.Topics = append(s.Topics, TopicSubject{Name: t.Topic, Partitions: t.Partitions})
		}
	}
	return s
}
