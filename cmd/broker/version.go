package main

import (
	"cmp"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker where there is no repository to read it from, as in the image.
var version string

func versionCommand() *cobra.Command {
	var withLicenses bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if withLicenses {
				return printLicenses(c.OutOrStdout())
			}
			info, ok := debug.ReadBuildInfo()
			if !ok {
				info = &debug.BuildInfo{}
			}
			if version != "" {
				info.Main.Version = version
			}
			fmt.Fprintln(c.OutOrStdout(), versionLine(info))
			return nil
		},
	}
	c.Flags().BoolVar(&withLicenses, "licenses", false,
		"print the licences and notices of what is linked into the program")
	return c
}

// versionLine is "once VERSION GO", with the commit and its time where the build knows them.
func versionLine(info *debug.BuildInfo) string {
	line := "once " + cmp.Or(info.Main.Version, "(unknown)") + " " + info.GoVersion
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
