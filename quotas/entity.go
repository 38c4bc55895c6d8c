package quotas

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// Type is a type of entities.
type Type string

// The types of entities.
const (
	User     Type = "user"
	ClientID Type = "client-id"
	IP       Type = "ip"
)

// types are all types, in the order in which an entity is named.
var types = [...]Type{User, ClientID, IP}

// Entity is whom a quota is for: a user, a client ID, both together, or an address. The name of a type is nil for the
// default, which holds for all without a quota of their own.
type Entity map[Type]*string

// String names the entity, whether there can be such a one or not.
func (e Entity) String() string {
	var parts []string
	for _, t := range slices.Sorted(maps.Keys(e)) {
		if name := e[t]; name != nil {
			parts = append(parts, fmt.Sprintf("%s %q", t, *name))
		} else {
			parts = append(parts, string(t)+" by default")
		}
	}
	return strings.Join(parts, ", ")
}

// key is the entity as the name of its record: type=name pairs, and type for a default, each on a line.
func (e Entity) key() string {
	var parts []string
	for _, t := range types {
		name, named := e[t]
		switch {
		case !named:
		case name == nil:
			parts = append(parts, string(t))
		default:
			parts = append(parts, string(t)+"="+*name)
		}
	}
	return strings.Join(parts, "\n")
}

// entityOf is the entity of a record. A name has no line break: it comes from a checked entity.
func entityOf(key string) Entity {
	e := Entity{}
	for _, part := range strings.Split(key, "\n") {
		t, name, named := strings.Cut(part, "=")
		e[Type(t)] = nil
		if named {
			e[Type(t)] = &name
		}
	}
	return e
}

// The names of quotas.
const (
	ProducerByteRate       = "producer_byte_rate"
	ConsumerByteRate       = "consumer_byte_rate"
	RequestPercentage      = "request_percentage"
	ControllerMutationRate = "controller_mutation_rate"
	ConnectionCreationRate = "connection_creation_rate"
)

// highest is the highest value of each quota of users and clients, and of addresses; 0 means any number, and not only
// whole ones.
var highest = map[bool]map[string]float64{
	false: {ProducerByteRate: math.MaxInt64, ConsumerByteRate: math.MaxInt64, RequestPercentage: 0,
		ControllerMutationRate: 0},
	true: {ConnectionCreationRate: math.MaxInt32},
}

// ErrInvalid refuses an entity, a quota that it cannot have, or a value.
var ErrInvalid = errors.New("invalid quota")

// check says whether there can be such an entity (spec: admin 17).
func (e Entity) check() error {
	if len(e) == 0 {
		return fmt.Errorf("%w: the entity is empty", ErrInvalid)
	}
	for t, name := range e {
		switch {
		case t != User && t != ClientID && t != IP:
			return fmt.Errorf("%w: entity type %q is unknown", ErrInvalid, t)
		case name != nil && (*name == "" || strings.Contains(*name, "\n")):
			return fmt.Errorf("%w: the name of a %s is empty or has a line break", ErrInvalid, t)
		case name != nil && t == IP && !isAddress(*name):
			return fmt.Errorf("%w: %q is no address", ErrInvalid, *name)
		}
	}
	if _, ip := e[IP]; ip && len(e) > 1 {
		return fmt.Errorf("%w: an address cannot be combined with others", ErrInvalid)
	}
	return nil
}

// isAddress accepts what needs no question to a name server.
func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil || name == "localhost"
}

// checkValue says whether the entity can have this quota.
func (e Entity) checkValue(name string, value float64) error {
	_, ip := e[IP]
	most, ok := highest[ip][name]
	switch {
	case !ok:
		return fmt.Errorf("%w: such an entity has no %q", ErrInvalid, name)
	case !(value > 0): // also of NaN
		return fmt.Errorf("%w: %s must be above 0", ErrInvalid, name)
	case most > 0 && (value != math.Trunc(value) || value >= most):
		return fmt.Errorf("%w: %s must be a whole number below %.0f", ErrInvalid, name, most)
	}
	return nil
}
