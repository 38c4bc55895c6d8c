package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/configs"
	"once/settings"
)

// checkBrokerName refuses a resource name that is not this broker's number.
func (s *Services) checkBrokerName(name string) error {
	if id, err := strconv.ParseInt(name, 10, 32); err != nil || int32(id) != s.NodeID {
		return fmt.Errorf("%w: this is broker %d, not %q", errInvalidRequest, s.NodeID, name)
	}
	return nil
}

// changeable are the settings of this broker that can be changed while it runs.
var changeable = []string{"advertised.listeners"}

// alterBroker alters the settings of this broker, or with an empty name the default of all brokers. Of changes to other
// settings than the changeable ones, those that change nothing succeed, as some tools send them, and all others are
// refused.
func (s *Services) alterBroker(a alteration) error {
	if a.name == "" {
		return s.alterClusterDefault(a)
	}
	if err := s.checkBrokerName(a.name); err != nil {
		return err
	}
	change := func(current settings.Values) (settings.Values, error) {
		next, err := a.change(current)
		if err != nil {
			return nil, err
		}
		fixed := func(values settings.Values) settings.Values {
			values = maps.Clone(values)
			maps.DeleteFunc(values, func(name, _ string) bool { return slices.Contains(changeable, name) })
			return values
		}
		if !maps.Equal(fixed(current), fixed(next)) {
			return nil, errFixedSettings
		}
		return next, nil
	}
	return s.Configs.Alter(configs.Broker, strconv.Itoa(int(s.NodeID)), change, a.validateOnly)
}

var errFixedSettings = fmt.Errorf("%w: this broker's settings cannot be changed while it runs; give them at its start", errInvalidRequest)

func (s *Services) alterClusterDefault(a alteration) error {
	current := s.Settings.ClusterDefaults()
	next, err := a.change(current)
	for name := range current {
		if _, kept := next[name]; err == nil && !kept {
			return &settings.InvalidError{Name: name, Reason: "the default of the cluster cannot be removed"}
		}
	}
	if err == nil && !maps.Equal(next, current) {
		err = errFixedSettings
	}
	return err
}

// rootLogger is the one logger of this broker with a name of Kafka's.
const rootLogger = "root"

// logLevels are Kafka's.
var logLevels = []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}

// logLevel is the lowest level that this broker logs.
func (s *Services) logLevel() string {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if s.Logger.Enabled(context.Background(), l) {
			return l.String()
		}
	}
	return "FATAL"
}

// loggerEntries describes the loggers of this broker.
func (s *Services) loggerEntries() []settings.Entry {
	return []settings.Entry{{Name: rootLogger, Value: s.logLevel(), Source: settings.SourceBrokerLogger}}
}

// alterLoggers alters levels of loggers. The level of this broker is fixed at its start: setting the same level
// succeeds, and every other level is refused.
func (s *Services) alterLoggers(name string, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig) error {
	if err := s.checkBrokerName(name); err != nil {
		return err
	}
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Op == kmsg.IncrementalAlterConfigOpAppend, c.Op == kmsg.IncrementalAlterConfigOpSubtract:
			return fmt.Errorf("%w: a level can be set or deleted", errInvalidRequest)
		case c.Name != rootLogger:
			return &settings.InvalidError{Name: c.Name, Reason: "there is no logger of this name"}
		case c.Op == kmsg.IncrementalAlterConfigOpDelete:
			return fmt.Errorf("%w: logger %s always has a level", errInvalidRequest, rootLogger)
		case !slices.Contains(logLevels, *c.Value):
			return &settings.InvalidError{Name: c.Name, Value: *c.Value, Reason: "is no level"}
		case *c.Value != s.logLevel():
			return fmt.Errorf("%w: the level of this broker cannot be changed while it runs", errInvalidRequest)
		}
	}
	return nil
}
