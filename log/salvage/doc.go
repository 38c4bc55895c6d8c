// Package salvage makes a log whose segments are damaged below the recovery point whole again, while no broker has
// it open. What of it cannot be read is lost; the rest keeps its offsets, and the log ends where it ended. Plan
// only reads, Apply writes. It can be interrupted at any point: then either a start or the next repair goes on.
// inspect and repair call it.
//
//  1. The barrier record learns that offsets are missing in the log (its flag "gaps").
//  2. Derived files that say something about what was lost are removed.
//  3. If the damaged segment is the one with the recovery point, a segment is made that begins there. It holds what
//     the old one has above, most often nothing. The next start finds the end of the log in it.
//  4. The whole batches of the damaged segment are written to a file, which is synced, read back, and renamed to
//     `<base>.log.repaired`. From here on it counts in the place of the damaged one.
//  5. The damaged segment is renamed to `<base>.damaged-<n>`, then the new one to `<base>.log`.
package salvage
