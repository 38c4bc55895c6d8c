package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		Run: func(c *cobra.Command, _ []string) {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				info = &debug.BuildInfo{}
			}
			fmt.Fprintln(c.OutOrStdout(), versionLine(info))
		},
	}
}

// versionLine is "once VERSION GO", with the commit and its time where the build knows them.
func versionLine(info *debug.BuildInfo) string {
	version := info.Main.Version
	if version == "" {
		version = "(unknown)"
	}
	line := "once " + version + " " + info.GoVersion
	vcs := map[string]string{}
	for _, s := range info.Settings {
		vcs[s.Key] = s.Value
	}
	if revision := vcs["vcs.revision"]; revision != "" {
		if vcs["vcs.modified"] == "true" {
			revision += "+changes"
		}
		line += " " + revision + " " + vcs["vcs.time"]
	}
	return line
}
