//go:build !fault

package fault

// Hit does nothing in this build.
func Hit(string) error { return nil }
