package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"once/seed"
	"once/settings"
)

// Variables of the environment that say what a cluster begins with. The second and third are those of compose files.
const (
	seedVariable         = "ONCE_SEED" // --seed
	createTopicsVariable = "KAFKA_CREATE_TOPICS"
	separatorVariable    = "KAFKA_CREATE_TOPICS_SEPARATOR"
)

// readSeed reads the file of --seed and the variable of compose files, and checks both with the settings, so that
// nothing is started with a mistake in them. A topic of the file wins over one of the variable.
func readSeed(f startFlags, environ []string, s *settings.Broker) (all []seed.Topic, err error) {
	nowMs := time.Now().UnixMilli()
	if f.seed != "" {
		raw, err := readSeedFile(f.seed, f.seedFrom)
		if err != nil {
			return nil, err
		}
		if all, err = seed.Parse(raw); err == nil {
			err = seed.Check(all, s, nowMs)
		}
		if err != nil {
			return nil, fmt.Errorf("%s (%s): %w", f.seed, f.seedFrom, indented(err))
		}
	}
	text, _ := lookup(environ, createTopicsVariable)
	separator, _ := lookup(environ, separatorVariable)
	created, err := seed.ParseCreateTopics(text, separator, createTopicsVariable)
	if err == nil {
		err = seed.Check(created, s, nowMs)
	}
	return append(all, created...), err
}

func readSeedFile(name, from string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, seed.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return raw, nil
}

// indented puts the second mistake and those after it into lines of their own.
func indented(err error) error {
	if text := err.Error(); strings.Contains(text, "\n") {
		return errors.New("\n  " + strings.ReplaceAll(text, "\n", "\n  "))
	}
	return err
}
