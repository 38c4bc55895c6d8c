package handlers

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Features holds the finalized feature levels of the cluster. Only what works is finalized; today that
// is transaction.version (transactions V2, KIP-890).
type Features struct {
	transactionVersion atomic.Int32
	epoch              int64 // immutable; grows with every start, never goes back
}

// TransactionVersionMax is the highest level of transaction.version.
const TransactionVersionMax = 2

// NewFeatures returns features with transaction.version finalized at a level from 0 to 2, and the
// epoch that clients compare answers by.
func NewFeatures(transactionVersion int16, epoch int64) *Features {
	f := &Features{epoch: epoch}
	f.transactionVersion.Store(int32(transactionVersion))
	return f
}

// TransactionVersion returns the finalized level of transaction.version.
func (f *Features) TransactionVersion() int16 { return int16(f.transactionVersion.Load()) }

const transactionVersionFeature = "transaction.version"

// describe fills in the features as an ApiVersions answer of a version shows them. Below v4 a
// supported feature with minimum 0 is left out, since older clients cannot read it; a finalized level
// of 0 is expressed by absence (spec: wire 4).
func (f *Features) describe(version int16, resp *kmsg.ApiVersionsResponse) {
	resp.FinalizedFeaturesEpoch = f.epoch
	if version >= 4 {
		resp.SupportedFeatures = []kmsg.ApiVersionsResponseSupportedFeature{{Name: transactionVersionFeature, MinVersion: 0, MaxVersion: TransactionVersionMax}}
	}
	if level := f.TransactionVersion(); level > 0 {
		resp.FinalizedFeatures = []kmsg.ApiVersionsResponseFinalizedFeature{{Name: transactionVersionFeature, MinVersionLevel: level, MaxVersionLevel: level}}
	}
}
