// Package labpage runs the Go snippets of docs/lab.md: they are page_test.go, in the order of the page.
package labpage
