package handlers

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The features of the cluster. metadata.version cannot be changed: it tells clients and tools the Kafka version.
const (
	eligibleLeaderReplicasVersionFeature = "eligible.leader.replicas.version"
	groupVersionFeature                  = "group.version"
	kraftVersionFeature                  = "kraft.version"
	metadataVersionFeature               = "metadata.version"
	shareVersionFeature                  = "share.version"
	streamsVersionFeature                = "streams.version"
	transactionVersionFeature            = "transaction.version"

	metadataVersionMin int16 = 7  // 3.3-IV3, the first of KRaft
	metadataVersion    int16 = 33 // 4.4-IV2

	// TransactionVersionMax is the highest level of transaction.version.
	TransactionVersionMax = 2
	// GroupVersionMax is the highest level of group.version.
	GroupVersionMax = 1
	// ShareVersionMax is the highest level of share.version: share groups with dead-letter queues.
	ShareVersionMax = 2
)

// feature is a feature that is supported.
type feature struct {
	name     string
	min, max int16
	initial  int16 // the level of a new cluster
	fixed    bool  // the level stays
}

// supported are all features, by name. With one replica of each partition nothing hangs on the level of eligible leader
// replicas. The quorum is static, which is level 0 of kraft.version.
var supported = [...]feature{
	{eligibleLeaderReplicasVersionFeature, 0, 1, 1, false},
	{groupVersionFeature, 0, GroupVersionMax, GroupVersionMax, false},
	{kraftVersionFeature, 0, 1, 0, true},
	{metadataVersionFeature, metadataVersionMin, metadataVersion, metadataVersion, true},
	{shareVersionFeature, 0, ShareVersionMax, ShareVersionMax, false},
	{streamsVersionFeature, 0, 1, 1, false},
	{transactionVersionFeature, 0, TransactionVersionMax, TransactionVersionMax, false},
}

// gates are the APIs that are refused while a feature is disabled, with that feature.
var gates = map[kmsg.Key]string{
	kmsg.ConsumerGroupHeartbeat: groupVersionFeature, kmsg.ConsumerGroupDescribe: groupVersionFeature,
	kmsg.StreamsGroupHeartbeat: streamsVersionFeature, kmsg.StreamsGroupDescribe: streamsVersionFeature,
	kmsg.StreamsGroupTopologyDescriptionUpdate: streamsVersionFeature,
}

// Features are the finalized levels of the cluster's features. Safe for concurrent use.
type Features struct {
	save   func(levels map[string]int16) error // stores all levels; nil where nothing is stored
	change sync.Mutex                          // orders changes; held over save
	levels [len(supported)]atomic.Int32
	epoch  atomic.Int64 // by which clients compare answers: it grows with every start and change
}

// NewFeatures returns features that are finalized at these levels, and those without one as in a new cluster. save
// makes all levels durable. epoch is the epoch of the levels.
func NewFeatures(levels map[string]int16, epoch int64, save func(levels map[string]int16) error) *Features {
	f := &Features{save: save}
	f.epoch.Store(epoch)
	for i, of := range supported {
		level, set := levels[of.name]
		if !set || of.fixed || level < of.min || level > of.max {
			level = of.initial
		}
		f.levels[i].Store(int32(level))
	}
	return f
}

// Level returns the finalized level of a feature, 0 when it is disabled.
func (f *Features) Level(name string) int16 {
	if i := indexOfFeature(name); i >= 0 {
		return int16(f.levels[i].Load())
	}
	return 0
}

// TransactionVersion returns the finalized level of transaction.version (transactions V2, KIP-890).
func (f *Features) TransactionVersion() int16 { return f.Level(transactionVersionFeature) }

// Epoch grows with every start and every change, and never goes back.
func (f *Features) Epoch() int64 { return f.epoch.Load() }

// GroupVersion returns the finalized level of group.version (the consumer protocol of groups, KIP-848).
func (f *Features) GroupVersion() int16 { return f.Level(groupVersionFeature) }

// ShareVersion returns the finalized level of share.version; 0: share groups are off.
func (f *Features) ShareVersion() int16 { return f.Level(shareVersionFeature) }

func indexOfFeature(name string) int {
	for i := range supported {
		if supported[i].name == name {
			return i
		}
	}
	return -1
}

// errInvalidUpdate refuses a change of a feature's level.
var errInvalidUpdate = errors.New("the level cannot be changed")

// The directions of a change, with their numbers on the wire.
const (
	upgrade         int8 = 1
	unsafeDowngrade int8 = 3
)

// levelChange is the change of one feature.
type levelChange struct {
	feature     string
	level       int16
	upgradeType int8
}

// update changes levels: all of them, durably, or none. With validateOnly it only checks.
func (f *Features) update(changes []levelChange, validateOnly bool) error {
	f.change.Lock()
	defer f.change.Unlock()
	next, changed := map[string]int16{}, false
	for i := range supported {
		next[supported[i].name] = int16(f.levels[i].Load())
	}
	for _, c := range changes {
		if err := f.checkChange(c, next[c.feature]); err != nil {
			return err
		}
	}
	for _, c := range changes { // the last one counts, as in Kafka
		changed = changed || f.Level(c.feature) != c.level
		next[c.feature] = c.level
	}
	if validateOnly || !changed {
		return nil
	}
	if f.save != nil {
		if err := f.save(next); err != nil {
			return err
		}
	}
	for i := range supported {
		f.levels[i].Store(int32(next[supported[i].name]))
	}
	f.epoch.Add(1)
	return nil
}

func (f *Features) checkChange(c levelChange, present int16) error {
	i := indexOfFeature(c.feature)
	switch {
	case i < 0:
		return fmt.Errorf("%w: there is no feature %q", errInvalidUpdate, c.feature)
	case c.upgradeType < upgrade || c.upgradeType > unsafeDowngrade:
		return fmt.Errorf("%w: upgrade type %d is unknown", errInvalidUpdate, c.upgradeType)
	case c.level < supported[i].min || c.level > supported[i].max:
		return fmt.Errorf("%w: %s is supported from %d to %d", errInvalidUpdate, c.feature, supported[i].min,
			supported[i].max)
	case supported[i].fixed && c.level != present:
		return fmt.Errorf("%w: %s stays at %d", errInvalidUpdate, c.feature, present)
	case c.level < present && c.upgradeType == upgrade:
		return fmt.Errorf("%w: %s is at %d, a lower level is no upgrade", errInvalidUpdate, c.feature, present)
	case c.level > present && c.upgradeType != upgrade:
		return fmt.Errorf("%w: %s is at %d, a higher level is no downgrade", errInvalidUpdate, c.feature, present)
	}
	return nil
}

// describe fills in the features for a version of ApiVersions. Below v4 a supported feature with minimum 0 is left out,
// because older clients cannot read it; a finalized level of 0 is left out, too (spec: wire 4).
func (f *Features) describe(version int16, resp *kmsg.ApiVersionsResponse) {
	resp.FinalizedFeaturesEpoch = f.Epoch()
	for i, of := range supported {
		if version >= 4 || of.min > 0 {
			s := kmsg.NewApiVersionsResponseSupportedFeature()
			s.Name, s.MinVersion, s.MaxVersion = of.name, of.min, of.max
			resp.SupportedFeatures = append(resp.SupportedFeatures, s)
		}
		if level := int16(f.levels[i].Load()); level > 0 {
			finalized := kmsg.NewApiVersionsResponseFinalizedFeature()
			finalized.Name = of.name
			finalized.MinVersionLevel, finalized.MaxVersionLevel = level, level
			resp.FinalizedFeatures = append(resp.FinalizedFeatures, finalized)
		}
	}
}
