// Package modules holds the checks of Testcontainers for Go against the container image. There is nothing in it but
// tests.
package modules
