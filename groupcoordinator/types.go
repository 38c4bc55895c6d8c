package groupcoordinator

import (
	"strings"

	"once/groupcoordinator/consumergroup"
	"once/groupcoordinator/group"
	"once/groupcoordinator/sharegroup"
	"once/groupcoordinator/streamsgroup"
)

// keyTypes are the key types of __consumer_offsets that belong to groups, each with the decoder of its records. The
// records of a key type that is missing stay in the log and are skipped.
var keyTypes = func() map[int16]decoder {
	all := map[int16]decoder{keyTypeGroup: decodeClassic}
	for _, keyType := range consumergroup.KeyTypes() {
		all[keyType] = consumergroup.DecodeRecord
	}
	for _, keyType := range []int16{
		streamsgroup.KeyTypeGroup, streamsgroup.KeyTypeMember, streamsgroup.KeyTypeTargetEpoch,
		streamsgroup.KeyTypeTarget, streamsgroup.KeyTypeCurrent, streamsgroup.KeyTypeTopology,
	} {
		all[keyType] = streamsgroup.DecodeRecord
	}
	for keyType := int16(sharegroup.KeyMember); keyType <= sharegroup.KeyStatePartitions; keyType++ {
		all[keyType] = sharegroup.Decode
	}
	return all
}()

// decoder reads the record of a key, with its key type, and a value; value nil: a tombstone. Its error wraps
// group.ErrDamaged.
type decoder func(key, value []byte) (group.Record, error)

// decoderOf returns nil for an unknown key type.
func decoderOf(keyType int16) decoder { return keyTypes[keyType] }

// newGroup returns an empty group for the first of its records. It copies the ID.
func (c *Coordinator) newGroup(t group.Type, groupID string) group.Group {
	groupID = strings.Clone(groupID)
	switch t {
	case group.Classic:
		return newClassicGroup(&c.cfg, groupID, -1)
	case group.Share:
		return sharegroup.New(c.share, groupID)
	case group.Consumer:
		return consumergroup.New(&c.consumer, groupID)
	case group.Streams:
		return c.newStreamsGroup(groupID)
	}
	panic("no groups of type " + string(t))
}
