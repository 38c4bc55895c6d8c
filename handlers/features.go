package handlers

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Features holds the finalized feature levels of the cluster: metadata.version, transaction.version (transactions V2,
// KIP-890) and group.version (the consumer protocol of groups, KIP-848). Those of other group protocols are finalized
// when the protocols are served.
type Features struct {
	transactionVersion atomic.Int32
	shareVersion       atomic.Int32
	groupVersion       atomic.Int32
	epoch              int64 // immutable; grows with every start, never goes back
}

// TransactionVersionMax is the highest level of transaction.version.
const TransactionVersionMax = 2

// GroupVersionMax is the highest level of group.version.
const GroupVersionMax = 1

// NewFeatures returns features with transaction.version finalized at a level from 0 to 2, group.version at 0 or 1, and
// with the epoch by which clients compare answers.
func NewFeatures(transactionVersion, groupVersion int16, epoch int64) *Features {
	f := &Features{epoch: epoch}
	f.transactionVersion.Store(int32(transactionVersion))
	f.shareVersion.Store(ShareVersionMax)
	f.groupVersion.Store(int32(groupVersion))
	return f
}

// GroupVersion returns the finalized level of group.version.
func (f *Features) GroupVersion() int16 { return int16(f.groupVersion.Load()) }

// TransactionVersion returns the finalized level of transaction.version.
func (f *Features) TransactionVersion() int16 { return int16(f.transactionVersion.Load()) }

// ShareVersionMax is the highest level of share.version: share groups with dead-letter queues.
const ShareVersionMax = 2

// ShareVersion returns the finalized level of share.version; 0: share groups are off.
func (f *Features) ShareVersion() int16 { return int16(f.shareVersion.Load()) }

// The features in the answer. metadata.version cannot be changed: it tells clients and tools the Kafka version.
const (
	metadataVersionFeature    = "metadata.version"
	transactionVersionFeature = "transaction.version"
	shareVersionFeature       = "share.version"
	groupVersionFeature       = "group.version"
	streamsVersionFeature     = "streams.version"

	streamsVersion int16 = 1

	metadataVersionMin int16 = 7  // 3.3-IV3, the first of KRaft
	metadataVersion    int16 = 33 // 4.4-IV2
)

// describe fills in the features for a version of ApiVersions. Below v4 a supported feature with minimum 0 is left out,
// because older clients cannot read it; a finalized level of 0 is left out, too (spec: wire 4).
func (f *Features) describe(version int16, resp *kmsg.ApiVersionsResponse) {
	resp.FinalizedFeaturesEpoch = f.epoch
	for _, feature := range []struct {
		name            string
		min, max, level int16
	}{
		{metadataVersionFeature, metadataVersionMin, metadataVersion, metadataVersion},
		{streamsVersionFeature, 0, streamsVersion, streamsVersion},
		{transactionVersionFeature, 0, TransactionVersionMax, f.TransactionVersion()},
		{shareVersionFeature, 0, ShareVersionMax, f.ShareVersion()},
		{groupVersionFeature, 0, GroupVersionMax, f.GroupVersion()},
	} {
		if version >= 4 || feature.min > 0 {
			supported := kmsg.NewApiVersionsResponseSupportedFeature()
			supported.Name, supported.MinVersion, supported.MaxVersion = feature.name, feature.min, feature.max
			resp.SupportedFeatures = append(resp.SupportedFeatures, supported)
		}
		if feature.level > 0 {
			finalized := kmsg.NewApiVersionsResponseFinalizedFeature()
			finalized.Name = feature.name
			finalized.MinVersionLevel, finalized.MaxVersionLevel = feature.level, feature.level
			resp.FinalizedFeatures = append(resp.FinalizedFeatures, finalized)
		}
	}
}
