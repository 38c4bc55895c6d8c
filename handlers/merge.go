package handlers

// Kafka keeps much of what a request lists in maps by name. Where it does, entries for one name are merged here in the
// same way; where it answers each entry, so do the handlers. Clients name everything once: that case is to stay cheap.

// fewEntries is up to how many entries are compared with each other rather than put into a map.
const fewEntries = 16

// topicKey is what a list calls a topic: its name, its ID, or both.
type topicKey struct {
	name string
	id   [16]byte
}

// mergeBy merges entries of one key into the first of them. It changes all.
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

// lastOfEach keeps of several entries for one partition the last one, at the place of the first. It changes all.
func lastOfEach[T any](all []T, partition func(*T) int32) []T {
	return mergeBy(all, partition, func(into, more *T) { *into = *more })
}

// counts returns how often each key stands in a request.
func counts[T any, K comparable](items []T, key func(*T) K) map[K]int {
	times := make(map[K]int, len(items))
	for i := range items {
		times[key(&items[i])]++
	}
	return times
}

// maxRepeats is how often a request may name one thing whose description is much longer than its name. Kafka answers
// each time; a request of a megabyte would ask for gigabytes, which are built in memory.
const maxRepeats = 10

// repeats counts what a request names.
type repeats[K comparable] map[K]uint8

// tooMany counts one more, and says whether that is too often.
func (r repeats[K]) tooMany(key K) bool {
	if r[key] == maxRepeats {
		return true
	}
	r[key]++
	return false
}
