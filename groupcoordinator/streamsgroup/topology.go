package streamsgroup

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrInvalidTopology: a topology that no set of topics could satisfy, such as a repartition topic that only feeds
// itself.
var ErrInvalidTopology = errors.New("invalid topology")

// Config is one setting of an internal topic.
type Config struct{ Key, Value string }

// InternalTopic is a repartition topic or a changelog of a topology. Partitions 0 means that the coordinator decides.
type InternalTopic struct {
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Configs           []Config
}

// CopartitionGroup names topics of one subtopology that need the same number of partitions, by their positions in its
// lists of source topics and of repartition source topics.
type CopartitionGroup struct {
	SourceTopics            []int16
	RepartitionSourceTopics []int16
}

// Subtopology is a connected part of a topology. Each of its tasks reads one partition of each of its sources.
type Subtopology struct {
	ID                      string
	SourceTopics            []string
	ChangelogTopics         []InternalTopic
	RepartitionSinkTopics   []string
	RepartitionSourceTopics []InternalTopic
	CopartitionGroups       []CopartitionGroup
}

// Topology is what all members of a group run. It is immutable.
type Topology struct {
	Epoch         int32
	Subtopologies []Subtopology // sorted by ID
}

// NewTopology sorts the subtopologies. An ID that occurs twice, and a copartition group that names no topic, are
// ErrInvalidTopology.
func NewTopology(epoch int32, subtopologies []Subtopology) (*Topology, error) {
	t := &Topology{Epoch: epoch, Subtopologies: subtopologies}
	slices.SortFunc(t.Subtopologies, func(a, b Subtopology) int { return cmp.Compare(a.ID, b.ID) })
	for i := range t.Subtopologies {
		s := &t.Subtopologies[i]
		if i > 0 && t.Subtopologies[i-1].ID == s.ID {
			return nil, fmt.Errorf("%w: subtopology %s is given twice", ErrInvalidTopology, s.ID)
		}
		for _, g := range s.CopartitionGroups {
			if !indexesInside(g.SourceTopics, len(s.SourceTopics)) ||
				!indexesInside(g.RepartitionSourceTopics, len(s.RepartitionSourceTopics)) {
				return nil, fmt.Errorf("%w: a copartition group of subtopology %s names no topic of it",
					ErrInvalidTopology, s.ID)
			}
		}
	}
	return t, nil
}

func indexesInside(indexes []int16, n int) bool {
	for _, i := range indexes {
		if i < 0 || int(i) >= n {
			return false
		}
	}
	return true
}

// subtopology returns the one with that ID, or nil.
func (t *Topology) subtopology(id string) *Subtopology {
	i, ok := slices.BinarySearchFunc(t.Subtopologies, id, func(s Subtopology, id string) int {
		return cmp.Compare(s.ID, id)
	})
	if !ok {
		return nil
	}
	return &t.Subtopologies[i]
}

// Topics returns the names of all topics, sorted, each once.
func (t *Topology) Topics() []string {
	var names []string
	for i := range t.Subtopologies {
		s := &t.Subtopologies[i]
		names = append(append(names, s.SourceTopics...), s.RepartitionSinkTopics...)
		for _, internal := range slices.Concat(s.RepartitionSourceTopics, s.ChangelogTopics) {
			names = append(names, internal.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// reads reports whether a topic is a source or a repartition source.
func (t *Topology) reads(topic string) bool {
	for i := range t.Subtopologies {
		if slices.Contains(t.Subtopologies[i].sources(), topic) {
			return true
		}
	}
	return false
}

// sources returns the topics that the tasks read: sources, then repartition sources.
func (s *Subtopology) sources() []string {
	names := slices.Clone(s.SourceTopics)
	for _, r := range s.RepartitionSourceTopics {
		names = append(names, r.Name)
	}
	return names
}

func (s *Subtopology) stateful() bool { return len(s.ChangelogTopics) > 0 }

func equalTopologies(a, b *Topology) bool {
	internal := func(x, y InternalTopic) bool {
		return x.Name == y.Name && x.Partitions == y.Partitions && x.ReplicationFactor == y.ReplicationFactor &&
			slices.Equal(x.Configs, y.Configs)
	}
	copartition := func(x, y CopartitionGroup) bool {
		return slices.Equal(x.SourceTopics, y.SourceTopics) &&
			slices.Equal(x.RepartitionSourceTopics, y.RepartitionSourceTopics)
	}
	return slices.EqualFunc(a.Subtopologies, b.Subtopologies, func(x, y Subtopology) bool {
		return x.ID == y.ID && slices.Equal(x.SourceTopics, y.SourceTopics) &&
			slices.Equal(x.RepartitionSinkTopics, y.RepartitionSinkTopics) &&
			slices.EqualFunc(x.ChangelogTopics, y.ChangelogTopics, internal) &&
			slices.EqualFunc(x.RepartitionSourceTopics, y.RepartitionSourceTopics, internal) &&
			slices.EqualFunc(x.CopartitionGroups, y.CopartitionGroups, copartition)
	})
}

// StatusCode is a reason why a group has no tasks, or a hint to its members.
type StatusCode int8

// The status codes of Kafka (spec: streams-groups 7).
const (
	StaleTopology                StatusCode = 0
	MissingSourceTopics          StatusCode = 1
	IncorrectlyPartitionedTopics StatusCode = 2
	MissingInternalTopics        StatusCode = 3
	ShutdownApplication          StatusCode = 4
	AssignmentDelayed            StatusCode = 5
	MissingClientTags            StatusCode = 6
)

// Status is one entry of a heartbeat's answer.
type Status struct {
	Code   StatusCode
	Detail string
}

// checkedTopics is what a topology needs and has.
type checkedTopics struct {
	problem *Status          // nil: the topology is ready
	counts  map[string]int32 // partitions of each topic that exists or is decided
	tasks   map[string]int32 // number of tasks, by subtopology; set when ready
	missing []InternalTopic  // to create, with their decided number of partitions
}

// topicCheck is one run of the check of the topics (spec: streams-groups 8).
type topicCheck struct {
	t       *Topology
	actual  func(topic string) (partitions int32, ok bool)
	decided map[string]int32 // of internal topics
	fixed   map[string]int32 // repartition topics whose count the client gave
}

// checkTopics decides the number of partitions of the internal topics of t and compares it with the topics that there
// are (spec: streams-groups 8). The error is ErrInvalidTopology.
func checkTopics(t *Topology, actual func(topic string) (int32, bool)) (*checkedTopics, error) {
	c := &topicCheck{t: t, actual: actual, decided: map[string]int32{}, fixed: map[string]int32{}}
	if missing := c.missingSources(); len(missing) > 0 {
		return &checkedTopics{problem: &Status{MissingSourceTopics,
			"Source topics " + firstThree(missing) + " are missing."}}, nil
	}
	if err := c.decideRepartitionTopics(); err != nil {
		return nil, err
	}
	problem := c.enforceCopartitioning()
	if problem == nil {
		if err := c.decideChangelogs(); err != nil {
			return nil, err
		}
		problem = c.compareWithExisting()
	}
	if problem != nil {
		return &checkedTopics{problem: problem}, nil
	}
	return c.result(), nil
}

func (c *topicCheck) missingSources() []string {
	var missing []string
	for i := range c.t.Subtopologies {
		for _, topic := range c.t.Subtopologies[i].SourceTopics {
			if _, ok := c.actual(topic); !ok {
				missing = append(missing, topic)
			}
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// firstThree lists names, and says how many more there are.
func firstThree(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}

// decideRepartitionTopics gives each repartition topic without a count the largest count among the topics that its
// writer reads. Counts are handed on from subtopology to subtopology until all are known.
func (c *topicCheck) decideRepartitionTopics() error {
	for i := range c.t.Subtopologies {
		for _, r := range c.t.Subtopologies[i].RepartitionSourceTopics {
			if r.Partitions != 0 {
				c.fixed[r.Name], c.decided[r.Name] = r.Partitions, r.Partitions
			}
		}
	}
	for unknown := true; unknown; {
		unknown = false
		progress := false
		for i := range c.t.Subtopologies {
			s := &c.t.Subtopologies[i]
			for _, sink := range s.RepartitionSinkTopics {
				if _, ok := c.decided[sink]; ok {
					continue
				}
				if n := c.largest(s); n > 0 {
					c.decided[sink], progress = n, true
				} else {
					unknown = true
				}
			}
		}
		if unknown && !progress {
			return fmt.Errorf("%w: the numbers of partitions of its repartition topics depend on each other",
				ErrInvalidTopology)
		}
	}
	for i := range c.t.Subtopologies {
		for _, r := range c.t.Subtopologies[i].RepartitionSourceTopics {
			if _, ok := c.decided[r.Name]; !ok {
				return fmt.Errorf("%w: no subtopology writes to the repartition topic %s", ErrInvalidTopology, r.Name)
			}
		}
	}
	return nil
}

// largest returns the largest count known of the topics that s reads, 0 when none is known.
func (c *topicCheck) largest(s *Subtopology) int32 {
	var n int32
	for _, topic := range s.SourceTopics {
		count, _ := c.actual(topic)
		n = max(n, count)
	}
	for _, r := range s.RepartitionSourceTopics {
		n = max(n, c.decided[r.Name])
	}
	return n
}

func (c *topicCheck) enforceCopartitioning() *Status {
	for i := range c.t.Subtopologies {
		s := &c.t.Subtopologies[i]
		for _, g := range s.CopartitionGroups {
			var sources, repartition []string
			for _, index := range g.SourceTopics {
				sources = append(sources, s.SourceTopics[index])
			}
			for _, index := range g.RepartitionSourceTopics {
				repartition = append(repartition, s.RepartitionSourceTopics[index].Name)
			}
			if problem := c.copartition(sources, repartition); problem != nil {
				return problem
			}
		}
	}
	return nil
}

func (c *topicCheck) copartition(sources, repartition []string) *Status {
	var n int32
	var problem *Status
	switch {
	case len(sources) > 0:
		counts := map[string]int32{}
		for _, topic := range sources {
			counts[topic], _ = c.actual(topic)
		}
		n, problem = agreed(counts)
	case len(c.fixed) > 0:
		n, problem = agreed(c.fixed)
	default:
		for _, topic := range repartition {
			count, ok := c.actual(topic)
			if !ok {
				count = c.decided[topic]
			}
			n = max(n, count)
		}
	}
	if problem != nil {
		return problem
	}
	for _, topic := range repartition {
		if fixed, ok := c.fixed[topic]; ok && fixed != n {
			return &Status{IncorrectlyPartitionedTopics, fmt.Sprintf(
				"Number of partitions [%d] of repartition topic [%s] doesn't match number of partitions [%d] of the "+
					"topics that it is joined with.", fixed, topic, n)}
		}
		c.decided[topic] = n
	}
	return nil
}

// agreed returns the count that all topics have.
func agreed(counts map[string]int32) (int32, *Status) {
	var n int32
	same := true
	names := make([]string, 0, len(counts))
	for topic, count := range counts {
		same = same && (len(names) == 0 || count == n)
		n, names = count, append(names, topic)
	}
	if same {
		return n, nil
	}
	slices.Sort(names)
	for i, topic := range names {
		names[i] = fmt.Sprintf("%s: %d", topic, counts[topic])
	}
	return 0, &Status{IncorrectlyPartitionedTopics,
		"Topics that are joined have different numbers of partitions: " + strings.Join(names, ", ") + "."}
}

func (c *topicCheck) decideChangelogs() error {
	for i := range c.t.Subtopologies {
		s := &c.t.Subtopologies[i]
		for _, changelog := range s.ChangelogTopics {
			n := c.largest(s)
			if n == 0 {
				return fmt.Errorf("%w: no source decides the number of partitions of the changelog topic %s",
					ErrInvalidTopology, changelog.Name)
			}
			c.decided[changelog.Name] = n
		}
	}
	return nil
}

// internalTopics calls f for each repartition and changelog topic.
func (c *topicCheck) internalTopics(f func(InternalTopic)) {
	for i := range c.t.Subtopologies {
		s := &c.t.Subtopologies[i]
		for _, internal := range slices.Concat(s.RepartitionSourceTopics, s.ChangelogTopics) {
			f(internal)
		}
	}
}

func (c *topicCheck) compareWithExisting() *Status {
	var wrong []string
	c.internalTopics(func(internal InternalTopic) {
		if n, ok := c.actual(internal.Name); ok && n != c.decided[internal.Name] {
			wrong = append(wrong, fmt.Sprintf("Existing internal topic %s has invalid partitions: expected: %d; actual: %d.",
				internal.Name, c.decided[internal.Name], n))
		}
	})
	if len(wrong) == 0 {
		return nil
	}
	return &Status{IncorrectlyPartitionedTopics, strings.Join(slices.Compact(wrong), " ")}
}

// result collects what is decided. A topology without its internal topics is not ready: they are to be created.
func (c *topicCheck) result() *checkedTopics {
	r := &checkedTopics{counts: map[string]int32{}, tasks: map[string]int32{}}
	seen := map[string]bool{}
	var names []string
	c.internalTopics(func(internal InternalTopic) {
		r.counts[internal.Name] = c.decided[internal.Name]
		if _, ok := c.actual(internal.Name); ok || seen[internal.Name] {
			return
		}
		seen[internal.Name] = true
		internal.Partitions = c.decided[internal.Name]
		r.missing, names = append(r.missing, internal), append(names, internal.Name)
	})
	for i := range c.t.Subtopologies {
		s := &c.t.Subtopologies[i]
		for _, topic := range s.SourceTopics {
			r.counts[topic], _ = c.actual(topic)
		}
		r.tasks[s.ID] = c.largest(s)
	}
	if len(names) > 0 {
		slices.Sort(names)
		r.problem = &Status{MissingInternalTopics, "Internal topics are missing: [" + firstThree(names) + "]"}
	}
	return r
}
