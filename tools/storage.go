package tools

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/spf13/cobra"
)

// storageCommand is kafka-storage. Nothing needs to be formatted here: format takes what scripts give to it, and does
// nothing.
func storageCommand(e *env) *cobra.Command {
	c := &cobra.Command{Args: cobra.ArbitraryArgs}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return say("a command is missing: format, random-uuid, version-mapping or feature-dependencies")
		}
		return say("%s is not built here; use kafka-storage.sh of Apache Kafka", args[0])
	}
	var clusterID, config string
	var scram, features []string
	var ignoreFormatted, standalone, noInitial bool
	var initial, release, level string
	format := &cobra.Command{Use: "format", Short: "Accept what Kafka's needs, and do nothing",
		RunE: func(*cobra.Command, []string) error {
			if len(scram) > 0 {
				return say("--add-scram is not built here: there is no SASL yet")
			}
			e.print("Nothing to format: the broker makes its data directory at its first start.\n")
			return nil
		}}
	f := format.Flags()
	f.StringVarP(&clusterID, "cluster-id", "t", "", "the cluster ID; has no effect")
	f.StringVarP(&config, "config", "c", "", "the property `file`; has no effect")
	f.StringArrayVarP(&scram, "add-scram", "S", nil, "refused until there is SASL")
	f.BoolVarP(&ignoreFormatted, "ignore-formatted", "g", false, "has no effect")
	f.StringVarP(&release, "release-version", "r", "", "has no effect")
	f.StringArrayVarP(&features, "feature", "f", nil, "has no effect")
	f.BoolVarP(&standalone, "standalone", "s", false, "has no effect")
	f.BoolVarP(&noInitial, "no-initial-controllers", "N", false, "has no effect")
	f.StringVarP(&initial, "initial-controllers", "I", "", "has no effect")
	f.StringVarP(&level, "metadata", "m", "", "has no effect")
	random := &cobra.Command{Use: "random-uuid", Short: "Print a random cluster ID",
		RunE: func(*cobra.Command, []string) error {
			e.print("%s\n", randomUUID())
			return nil
		}}
	c.AddCommand(format, random, versionMapping(e), featureDependencies(e))
	return c
}

// randomUUID returns a version 4 UUID as Kafka writes it, which does not begin with a dash.
func randomUUID() string {
	for {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		if text := base64.RawURLEncoding.EncodeToString(id[:]); text[0] != '-' {
			return text
		}
	}
}
