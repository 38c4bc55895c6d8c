// Package salvage repairs a log whose segments are damaged below the recovery point, while no broker has it open.
// Unreadable batches are lost; the others keep their offsets, and the log keeps its end. Plan only reads, Apply writes.
// After a crash at any point either a start or the next repair continues. inspect and repair call it.
//
//  1. The log's flag "gaps" is set in the barrier record: offsets may be missing.
//  2. Files derived from lost batches are removed.
//  3. If the damaged segment holds the recovery point, a new segment is made that begins there. It gets the batches
//     above the recovery point, most often none. The next start finds the end of the log in it.
//  4. The whole batches of the damaged segment are written to a file, which is synced, read back, and renamed to
//     `<base>.log.repaired`. From here on it replaces the damaged one.
//  5. The damaged segment is renamed to `<base>.damaged-<n>`, then the new one to `<base>.log`.
package salvage
