package telemetry

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"once/settings"
)

// ID is a client instance ID.
type ID [16]byte

// NoID is the ID of a client that has none yet. reservedID is the other one that Kafka gives to no client.
var NoID, reservedID = ID{}, ID{15: 1}

// String is the ID as Kafka writes it.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// newID returns a random ID, as a UUID of version 4.
func newID() (id ID) {
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// defaultInterval is the push interval of a client that no subscription matches, and the longest of all: Kafka takes
// the shortest of this one and those of the subscriptions.
const defaultInterval = 5 * time.Minute

// wanted is the subscription of a client: all that match, together.
func (s *subscriptions) wanted(id ID, c *Client) Subscription {
	w := Subscription{InstanceID: id, Interval: defaultInterval, Metrics: []string{}}
	for _, sub := range s.byName {
		if c.matches(id, sub.Match) {
			w.Metrics = append(w.Metrics, sub.Metrics...)
			w.Interval = min(w.Interval, sub.Interval)
		}
	}
	slices.Sort(w.Metrics)
	w.Metrics = slices.Compact(w.Metrics)
	if slices.Contains(w.Metrics, settings.AllClientMetrics) {
		w.Metrics = []string{settings.AllClientMetrics}
	}
	w.ID = subscriptionID(&w)
	return w
}

// subscriptionID is the same for the same subscription of the same instance, also after a restart. It is Kafka's where
// there is one metric; the order of several ones is another.
func subscriptionID(w *Subscription) int32 {
	text := "[" + strings.Join(w.Metrics, ", ") + "]" + strconv.FormatInt(w.Interval.Milliseconds(), 10)
	sum := crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli))
	half := binary.BigEndian.Uint64(w.InstanceID[:8]) ^ binary.BigEndian.Uint64(w.InstanceID[8:])
	return int32(sum ^ uint32(half>>32) ^ uint32(half))
}

// maxAttributeBytes is the longest attribute that is matched. A longer one matches nothing.
const maxAttributeBytes = 1 << 10

// matches says whether all expressions match the attributes of a client.
func (c *Client) matches(id ID, expressions map[string]*regexp.Regexp) bool {
	for attribute, expression := range expressions {
		value := c.attribute(id, attribute)
		if expression == nil || len(value) > maxAttributeBytes || !expression.MatchString(value) {
			return false
		}
	}
	return true
}

func (c *Client) attribute(id ID, name string) string {
	switch name {
	case "client_instance_id":
		return id.String()
	case "client_id":
		return c.ClientID
	case "client_software_name":
		return c.SoftwareName
	case "client_software_version":
		return c.SoftwareVersion
	case "client_source_address":
		return c.Address
	case "client_source_port":
		return c.Port
	}
	return ""
}

// prefixes are prefixes of names, of which none begins with another one, sorted.
type prefixes []string

// prefixesOf is for sorted texts.
func prefixesOf(sorted []string) (p prefixes) {
	for _, s := range sorted {
		if s == settings.AllClientMetrics && len(sorted) == 1 {
			return prefixes{""}
		}
		if len(p) == 0 || !strings.HasPrefix(s, p[len(p)-1]) {
			p = append(p, s)
		}
	}
	return p
}

// have says whether a name begins with one of them: it can only be the last one that is not greater than the name.
func (p prefixes) have(name string) bool {
	i, found := slices.BinarySearch(p, name)
	return found || i > 0 && strings.HasPrefix(name, p[i-1])
}
