package groupcoordinator

import "encoding/binary"

// subscribedTopics reads the subscribed topics of a consumer group from its members' metadata for the chosen protocol.
// nil means unknown: another protocol type, or metadata that is not Kafka's.
func (g *classicGroup) subscribedTopics() map[string]bool {
	if g.protocolType != consumerProtocolType {
		return nil
	}
	topics := make(map[string]bool)
	if len(g.members) == 0 {
		return topics
	}
	if g.protocolName == nil {
		return nil
	}
	for _, m := range g.members {
		if !readSubscription(m.metadataFor(*g.protocolName), topics) {
			return nil
		}
	}
	return topics
}

// readSubscription adds the topics of a ConsumerProtocolSubscription. Every version begins like version 0, and only
// that part is read:
//
//	version int16 | count int32 | count × (length int16 | name) | …
func readSubscription(b []byte, topics map[string]bool) bool {
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b)) < 0 {
		return false
	}
	count := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	if count < 0 || int(count) > len(b)/2 {
		return false
	}
	for range count {
		if len(b) < 2 {
			return false
		}
		n := int(int16(binary.BigEndian.Uint16(b)))
		if n < 0 || n > len(b)-2 {
			return false
		}
		topics[string(b[2:2+n])] = true
		b = b[2+n:]
	}
	return true
}
