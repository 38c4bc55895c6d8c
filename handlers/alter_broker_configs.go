package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
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

// alterBroker alters the settings of this broker, or with an empty name the default of all brokers (spec: admin 8).
func (s *Services) alterBroker(a alteration) error {
	if a.name == "" {
		return s.Configs.Alter(configs.Broker, configs.ClusterDefault, s.changeOfDefaults(a), a.validateOnly)
	}
	if err := s.checkBrokerName(a.name); err != nil {
		return err
	}
	return s.Configs.Alter(configs.Broker, strconv.Itoa(int(s.NodeID)), a.change, a.validateOnly)
}

// changeOfDefaults changes what is set for all brokers. What is so from the start is not stored, and cannot be removed.
func (s *Services) changeOfDefaults(a alteration) func(settings.Values) (settings.Values, error) {
	return func(stored settings.Values) (settings.Values, error) {
		fromStart := s.Settings.ClusterDefaults()
		current := settings.Values{}
		maps.Copy(current, fromStart)
		maps.Copy(current, stored)
		next, err := a.change(current)
		if err != nil {
			return nil, err
		}
		for name, value := range fromStart {
			switch kept, ok := next[name]; {
			case !ok:
				return nil, &settings.InvalidError{Name: name, Reason: "the default of the cluster cannot be removed"}
			case kept == value:
				delete(next, name)
			}
		}
		return next, nil
	}
}

// rootLogger is the one logger of this broker with a name of Kafka's.
const rootLogger = "root"

// logLevels are Kafka's, each with ours.
var logLevels = []struct {
	name  string
	level slog.Level
}{
	{"TRACE", slog.LevelDebug - 4}, {"DEBUG", slog.LevelDebug}, {"INFO", slog.LevelInfo}, {"WARN", slog.LevelWarn},
	{"ERROR", slog.LevelError}, {"FATAL", slog.LevelError + 4},
}

// logLevel is the lowest level that this broker logs.
func (s *Services) logLevel() string {
	for _, l := range logLevels {
		if s.LogLevel != nil && s.LogLevel.Level() <= l.level || s.LogLevel == nil &&
			s.Logger.Enabled(context.Background(), l.level) {
			return l.name
		}
	}
	return "FATAL"
}

// loggerEntries describes the loggers of this broker.
func (s *Services) loggerEntries() []settings.Entry {
	return []settings.Entry{{Name: rootLogger, Value: s.logLevel(), Source: settings.SourceBrokerLogger}}
}

// alterLoggers alters levels of loggers, all or none. As in Kafka they hold until the broker stops.
func (s *Services) alterLoggers(
	name string, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig, validateOnly bool,
) error {
	if err := s.checkBrokerName(name); err != nil {
		return err
	}
	next := s.logLevel()
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Op == kmsg.IncrementalAlterConfigOpAppend, c.Op == kmsg.IncrementalAlterConfigOpSubtract:
			return fmt.Errorf("%w: a level can be set or deleted", errInvalidRequest)
		case c.Name != rootLogger:
			return &settings.InvalidError{Name: c.Name, Reason: "there is no logger of this name"}
		case c.Op == kmsg.IncrementalAlterConfigOpDelete:
			return fmt.Errorf("%w: logger %s always has a level", errInvalidRequest, rootLogger)
		}
		next = *c.Value
	}
	for _, l := range logLevels {
		switch {
		case l.name != next:
		case validateOnly, next == s.logLevel():
			return nil
		case s.LogLevel == nil:
			return fmt.Errorf("%w: the level of this broker's logger is not its own", errInvalidRequest)
		default:
			s.LogLevel.Set(l.level)
			return nil
		}
	}
	return &settings.InvalidError{Name: rootLogger, Value: next, Reason: "is no level"}
}
