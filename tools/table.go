package tools

import (
	"fmt"
	"io"
	"strings"
)

// printTable prints rows in columns as wide as their widest cell, each ended by a tab, as kafka-transactions does.
func printTable(w io.Writer, header []string, rows [][]string) {
	widths := make([]int, len(header))
	all := append([][]string{header}, rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s\t", widths[i], cell)
		}
		fmt.Fprintln(w, line.String())
	}
}
