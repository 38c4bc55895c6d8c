package main

// minimise drops steps of a sequence that ends with a difference, as long as the same request still ends it with a
// difference. Each try is carried out anew, with names that are new to both brokers. check carries steps out.
func minimise(found []exchange, listed expectations, check func([]exchange) []exchange) []exchange {
	last := found[len(found)-1]
	stays := func(without []exchange) ([]exchange, bool) {
		got := check(without)
		if len(got) == 0 {
			return nil, false
		}
		end := got[len(got)-1]
		return got, end.differs() && end.API == last.API && listed.reasonFor(got) == listed.reasonFor(found)
	}
	for size := max(1, len(found)/2); ; size /= 2 {
		for dropped := true; dropped; {
			dropped = false
			for from := 0; from < len(found)-1; {
				to := min(from+size, len(found)-1)
				without := append(append(found[:from:from], kept(found[from:to])...), found[to:]...)
				if len(without) == len(found) {
					from += size
					continue
				}
				if got, ok := stays(without); ok {
					found, dropped = got, true
				} else {
					from += size
				}
			}
		}
		if size <= 1 {
			return found
		}
	}
}

// kept are the steps that are not dropped.
func kept(steps []exchange) (all []exchange) {
	for _, step := range steps {
		if step.Keep {
			all = append(all, step)
		}
	}
	return all
}
