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

// column is one of a table in the manner of kafka-consumer-groups: as wide as said, or as its widest cell if it grows.
type column struct {
	name  string
	width int
	grows bool
}

func fixed(name string, width int) column   { return column{name: name, width: width} }
func growing(name string, width int) column { return column{name: name, width: width, grows: true} }

// printColumns prints a line of names and one for each row, with a blank between cells.
func printColumns(w io.Writer, columns []column, rows [][]string) {
	widths := make([]int, len(columns))
	names := make([]string, len(columns))
	for i, c := range columns {
		widths[i], names[i] = c.width, c.name
		for _, row := range rows {
			if c.grows {
				widths[i] = max(widths[i], len(row[i]))
			}
		}
	}
	for _, row := range append([][]string{names}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = fmt.Sprintf("%-*s", widths[i], cell)
		}
		cells[len(cells)-1] = row[len(row)-1] // nothing behind the last one
		fmt.Fprintln(w, strings.Join(cells, " "))
	}
}
