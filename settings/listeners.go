package settings

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Listener is one entry of listeners or advertised.listeners.
type Listener struct {
	Name     string // in upper case
	Protocol string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
	Host     string // "" for every address
	Port     int    // 0 for a free one
}

// Address returns HOST:PORT.
func (l Listener) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// listeners returns the listeners for clients among those that a setting has.
func (b *Broker) listeners(setting string) []Listener {
	all, _ := parseListeners(b.text(setting)) // valid since Resolve
	controllers := splitList(b.text("controller.listener.names"))
	var clients []Listener
	for _, l := range all {
		if slices.ContainsFunc(controllers, func(s string) bool { return strings.EqualFold(s, l.Name) }) {
			continue
		}
		l.Protocol = b.protocolOf(l.Name)
		clients = append(clients, l)
	}
	return clients
}

// protocolOf returns the security protocol of a listener, "" where the map has none.
func (b *Broker) protocolOf(listener string) string {
	for _, entry := range splitList(b.text("listener.security.protocol.map")) {
		if name, protocol, _ := strings.Cut(entry, ":"); strings.EqualFold(name, listener) {
			return strings.ToUpper(protocol)
		}
	}
	return ""
}

func parseListeners(value string) ([]Listener, error) {
	var all []Listener
	for _, entry := range splitList(value) {
		name, address, ok := strings.Cut(entry, "://")
		host, port, err := net.SplitHostPort(address)
		number, portErr := strconv.ParseUint(port, 10, 16)
		if !ok || name == "" || err != nil || portErr != nil {
			return nil, fmt.Errorf("must be NAME://HOST:PORT, which %q is not", entry)
		}
		all = append(all, Listener{Name: strings.ToUpper(name), Host: host, Port: int(number)})
	}
	return all, nil
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
