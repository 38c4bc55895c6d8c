package settings

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"once/internal/invariant"
)

// plaintext is the security protocol without TLS and SASL.
const plaintext = "PLAINTEXT"

// Listener is one entry of listeners or advertised.listeners.
type Listener struct {
	Name     string // in upper case
	Protocol string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
	Host     string // "" for every address
	Port     int    // 0 for a free one
}

// Address returns HOST:PORT.
func (l Listener) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// String returns NAME://HOST:PORT.
func (l Listener) String() string { return l.Name + "://" + l.Address() }

func (l Listener) isIPv4() bool {
	ip, err := netip.ParseAddr(l.Host)
	return err == nil && ip.Is4()
}

func (l Listener) isIPv6() bool {
	ip, err := netip.ParseAddr(l.Host)
	return err == nil && ip.Is6()
}

// AdvertisedListener returns the advertised address of a listener; ok is false where none is set.
func (b *Broker) AdvertisedListener(name string) (advertised Listener, ok bool) {
	i := slices.IndexFunc(b.advertisedListeners, func(l Listener) bool { return l.Name == name })
	if i < 0 {
		return Listener{}, false
	}
	return b.advertisedListeners[i], true
}

// ListenersAreSet says whether Listeners were set.
func (b *Broker) ListenersAreSet() bool { return b.isExplicit("listeners") || b.listenersAreDerived() }

// listenersAreDerived says whether listeners follows from the advertised.listeners of the start, as in Kafka's image.
func (b *Broker) listenersAreDerived() bool {
	_, advertised := b.layers[staticLayer][advertisedListeners]
	return advertised && !b.isExplicit("listeners")
}

// derivedListeners returns the value that listeners has where only advertised.listeners is set: the same names and
// ports, on every address.
func (b *Broker) derivedListeners() string {
	advertised, _ := parseListeners(b.layers[staticLayer][advertisedListeners])
	derived := make([]string, len(advertised))
	for i, l := range advertised {
		derived[i] = l.Name + "://:" + strconv.Itoa(l.Port)
	}
	return strings.Join(derived, ",")
}

// splitListeners returns the listeners of a setting: those for clients, and those of the controller.
func (b *Broker) splitListeners(setting string) (clients, controllers []Listener) {
	all, _ := parseListeners(b.text(setting)) // valid since Resolve
	for _, l := range all {
		l.Protocol = b.protocolOf(l.Name)
		if b.isControllerListener(l.Name) {
			controllers = append(controllers, l)
		} else {
			clients = append(clients, l)
		}
	}
	return clients, controllers
}

// isControllerListener goes by controller.listener.names. Where it is not set the usual name is taken.
func (b *Broker) isControllerListener(name string) bool {
	names := "CONTROLLER"
	if b.isExplicit("controller.listener.names") {
		names = b.text("controller.listener.names")
	}
	return slices.ContainsFunc(splitList(names), func(s string) bool { return strings.EqualFold(s, name) })
}

// protocolOf returns the security protocol of a listener, "" where the map has none. Of two entries the last counts.
func (b *Broker) protocolOf(listener string) (protocol string) {
	for _, entry := range splitList(b.text("listener.security.protocol.map")) {
		if name, p, _ := strings.Cut(entry, ":"); strings.EqualFold(strings.TrimSpace(name), listener) {
			protocol = strings.ToUpper(strings.TrimSpace(p))
		}
	}
	return protocol
}

// endpoint is NAME://HOST:PORT as Kafka reads it: the host may be left out, and an IPv6 address may lack its brackets.
// Beyond Kafka, several hosts may stand there with blanks between them, which is what `hostname -i` prints in a
// container with several addresses. The first one counts.
var endpoint = regexp.MustCompile(`^(.+)://(?:\[?([0-9a-zA-Z\-%._:]*)\]?(?:\s[0-9a-zA-Z\-%._:\s]*)?):(-?[0-9]+)$`)

// parseListeners reads a list of endpoints. An empty entry, as behind a comma at the end, is left out.
func parseListeners(value string) ([]Listener, error) {
	var all []Listener
	for _, entry := range splitList(value) {
		if entry == "" {
			continue
		}
		part := endpoint.FindStringSubmatch(entry)
		if part == nil {
			return nil, fmt.Errorf("must be NAME://HOST:PORT, which %q is not", entry)
		}
		port, err := strconv.ParseUint(part[3], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("has a port that is not between 0 and 65535: %s", part[3])
		}
		all = append(all, Listener{Name: strings.ToUpper(part[1]), Host: part[2], Port: int(port)})
	}
	if all == nil {
		return nil, errors.New("must not be empty")
	}
	return all, nil
}

// ListenerLimits are the limits of one listener. Without settings of its own they are those of the broker.
type ListenerLimits struct {
	MaxConnections            int // listener.name.NAME.max.connections
	MaxConnectionCreationRate int // listener.name.NAME.max.connection.creation.rate; math.MaxInt32 for any
}

// clusterLevel are the settings of one listener that can be changed as defaults of the cluster.
var clusterLevel = []string{"max.connections", "max.connection.creation.rate", "num.network.threads"}

// ofListener is the name of a setting that holds for one listener. It has the listener's name in lower case.
func ofListener(listener, setting string) string {
	return "listener.name." + strings.ToLower(listener) + "." + setting
}

// ofListener returns the value of a whole number for one listener.
func (b *Broker) ofListener(listener, setting string) int {
	if text, ok := b.explicit(ofListener(listener, setting)); ok {
		n, err := strconv.Atoi(text)
		invariant.Check(err == nil, "settings: %s of %s is no whole number", setting, listener)
		return n
	}
	return b.int(setting)
}

func (b *Broker) listenerLimits() map[string]ListenerLimits {
	limits := map[string]ListenerLimits{}
	for _, l := range b.Listeners {
		limits[l.Name] = ListenerLimits{
			MaxConnections:            b.ofListener(l.Name, "max.connections"),
			MaxConnectionCreationRate: b.ofListener(l.Name, "max.connection.creation.rate"),
		}
	}
	return limits
}

// listenerLimitProblems refuses limits of a listener with which it would accept nobody.
func (b *Broker) listenerLimitProblems() (problems []error) {
	for _, l := range b.Listeners {
		for _, setting := range []string{"max.connections", "max.connection.creation.rate"} {
			name := ofListener(l.Name, setting)
			if b.isExplicit(name) && b.ofListener(l.Name, setting) == 0 {
				problems = append(problems, b.problem(name, "must be at least 1"))
			}
		}
	}
	return problems
}

// interBrokerListener is named, or else has the name of the security protocol between brokers.
func (b *Broker) interBrokerListener() string {
	if name, set := b.explicit("inter.broker.listener.name"); set {
		return strings.ToUpper(name)
	}
	return b.text("security.inter.broker.protocol")
}

// mechanismSettings stand behind listener.name.LISTENER.MECHANISM. (spec: security 1).
var mechanismSettings = [...]string{
	"sasl.jaas.config", "sasl.login.callback.handler.class", "sasl.login.class",
	"sasl.server.callback.handler.class", "connections.max.reauth.ms",
}

// listenerSetting cuts listener.name.LISTENER. and, where it has one, the mechanism off a name.
func listenerSetting(name string) (base string, ok bool) {
	rest, ok := strings.CutPrefix(name, "listener.name.")
	if !ok {
		return "", false
	}
	listener, base, ok := strings.Cut(rest, ".")
	if !ok || listener == "" {
		return "", false
	}
	for _, m := range mechanismSettings {
		if strings.HasSuffix(base, "."+m) {
			return m, true
		}
	}
	return base, true
}
