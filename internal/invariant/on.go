//go:build invariants || race

package invariant

// Enabled says whether the expensive checks run: with -race, or with -tags invariants.
const Enabled = true
