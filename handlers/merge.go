package handlers

// Kafka keeps many lists of a request in maps by name. There entries for one name are merged here in the same way;
// where Kafka answers each entry, so do the handlers. Clients name everything once: that case must stay cheap.

// fewEntries is the longest list whose entries are compared with each other instead of put into a map.
const fewEntries = 16

// topicKey is the topic of an entry: its name, its ID, or both.
type topicKey struct {
	name string
	id   [16]byte
}

// mergeBy merges entries of one key into the first of them. It changes the slice.
func mergeBy[T any, K comparable](all []T, key func(*T) K, merge func(into, more *T)) []T {
	if len(all) < 2 {
		return all
	}
	var places map[K]int
	if len(all) > fewEntries {
		places = make(map[K]int, len(all))
	}
	merged := all[:0]
	for i := range all {
		k, at := key(&all[i]), -1
		if places != nil {
			if place, ok := places[k]; ok {
				at = place
			} else {
				places[k] = len(merged)
			}
		} else {
			for j := range merged {
				if key(&merged[j]) == k {
					at = j
					break
				}
			}
		}
		if at < 0 {
			merged = append(merged, all[i])
		} else {
			merge(&merged[at], &all[i])
		}
	}
	return merged
}

// lastOfEach keeps the last of several entries for one partition, at the place of the first. It changes the slice.
func lastOfEach[T any](all []T, partition func(*T) int32) []T {
	return mergeBy(all, partition, func(into, more *T) { *into = *more })
}

// counts returns the number of entries with each key.
func counts[T any, K comparable](items []T, key func(*T) K) map[K]int {
	times := make(map[K]int, len(items))
	for i := range items {
		times[key(&items[i])]++
	}
	return times
}

// maxRepeats is how often a request may name one thing whose description is much longer than its name. Kafka answers
// each time; here a request of a megabyte would need gigabytes of memory.
const maxRepeats = 10

// repeats counts the names in a request.
type repeats[K comparable] map[K]uint8

// tooMany counts a name, and says whether it comes too often.
func (r repeats[K]) tooMany(key K) bool {
	if r[key] == maxRepeats {
		return true
	}
	r[key]++
	return false
}
