package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"once/settings"
)

// The program behaves otherwise in its container image in a few ways, all of which are here: it runs other programs
// where the image's command names one, listens on every interface, knows where volumes are mounted, and prints the
// lines that other projects' test modules wait for.

const (
	// entrypointName is the name that the image calls the program by.
	entrypointName = "entrypoint"
	// imageVariable is set to true in the image.
	imageVariable = "ONCE_IMAGE"
	// adminVariable is --admin in the environment.
	adminVariable = "ONCE_ADMIN"
)

// Exit codes of a shell for a program that cannot be run.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// readyLines are the lines of Kafka's log that test modules wait for; some wait for exactly one match, so no two lines
// have the same words.
func readyLines(nodeID int32) []string {
	return []string{
		"Creating new log file",
		"Checking need to trigger auto leader balancing",
		"Transitioning from RECOVERY to RUNNING.",
		fmt.Sprintf("[KafkaServer id=%d] started", nodeID),
		"Kafka Server started",
		"Kafka broker started",
	}
}

// container is what the program has to know of the container that it runs in. The zero value is no container.
type container struct {
	isImage bool
	// root is the file system, and mounts the text of /proc/self/mountinfo.
	root, mounts string
}

func containerOf(environ []string) container {
	if value, _ := lookup(environ, imageVariable); value != "true" {
		return container{}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	return container{isImage: true, root: "/", mounts: string(mounts)}
}

func lookup(environ []string, name string) (value string, ok bool) {
	for _, pair := range environ { // the last one counts
		if rest, found := strings.CutPrefix(pair, name+"="); found {
			value, ok = rest, true
		}
	}
	return value, ok
}

// defaults are the settings that the image has where nothing else says them. Where advertised.listeners is given, the
// listeners follow from it.
func (c container) defaults(others ...settings.Source) settings.Source {
	values := settings.Values{}
	if !c.isImage {
		return settings.Source{}
	}
	given := func(name string) bool {
		return slices.ContainsFunc(others, func(s settings.Source) bool { return s.Values[name] != "" })
	}
	if !given("log.dirs") && !given("log.dir") {
		values["log.dirs"] = c.dataDir()
	}
	if !given("listeners") && !given("advertised.listeners") {
		values["listeners"] = "PLAINTEXT://:9092"
	}
	return settings.Source{Values: values}
}

// dataDir is the directory of Kafka's images, or that of Bitnami's or wurstmeister's where only that one is mounted.
// /data links to the first.
func (c container) dataDir() string {
	const usual, bitnami, wurstmeister = "/var/lib/kafka/data", "/bitnami/kafka", "/kafka"
	switch {
	case c.isMounted(usual):
	case c.isMounted(bitnami), c.isMounted(filepath.Dir(bitnami)):
		return bitnami + "/data"
	case c.isMounted(wurstmeister):
		return wurstmeister + "/kafka-logs"
	}
	return usual
}

func (c container) isMounted(directory string) bool {
	for line := range strings.Lines(c.mounts) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == directory {
			return true
		}
	}
	return false
}

// configFile is the property file that is mounted into the image, "" if none is.
func (c container) configFile() string {
	if !c.isImage {
		return ""
	}
	name := filepath.Join(c.root, "mnt/shared/config/server.properties")
	if _, err := os.Stat(name); err != nil {
		return ""
	}
	return name
}

// isOwnCommand reports whether arguments of the image's command are for the program: none, an option, or one of its
// commands. All others name a program to run.
func isOwnCommand(args []string, root *cobra.Command) bool {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || args[0] == "help" {
		return true
	}
	return slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool {
		return c.Name() == args[0] || c.HasAlias(args[0])
	})
}

// refuseKafkasDirectory returns an error when Apache Kafka has kept its data in a directory.
func refuseKafkasDirectory(directory string) error {
	for _, name := range []string{"meta.properties", "__cluster_metadata-0"} {
		if _, err := os.Stat(filepath.Join(directory, name)); err == nil {
			return usageError{fmt.Errorf("%s holds data of Apache Kafka (%s), which cannot be read: give another directory "+
				"or an empty volume", directory, name)}
		}
	}
	return nil
}
