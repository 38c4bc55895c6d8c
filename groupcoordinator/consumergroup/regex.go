package consumergroup

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

const (
	// regexRefreshLimit bounds how often the known regular expressions of a group are resolved, as in Kafka.
	regexRefreshLimit = 10 * time.Second
	// maxRegexBytes bounds a regular expression, and so the time and memory to compile it.
	maxRegexBytes = 1 << 12
)

// compileRegex makes a regular expression that matches whole names. Go's syntax is RE2's, as that of Kafka's library
// is.
func compileRegex(regex string) (*regexp.Regexp, error) {
	if len(regex) > maxRegexBytes {
		return nil, fmt.Errorf("%w: %d bytes, %d allowed", ErrInvalidRegex, len(regex), maxRegexBytes)
	}
	if _, err := regexp.Compile(regex); err != nil { // alone, or a) | (b would be a valid one
		return nil, fmt.Errorf("%w: %w", ErrInvalidRegex, err)
	}
	whole, err := regexp.Compile(`\A(?:` + regex + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRegex, err)
	}
	return whole, nil
}

// resolvedRegexes are those of the group once the records are applied.
func (t *transition) resolvedRegexes() map[string]RegexValue {
	if t.regexes != nil {
		return t.regexes
	}
	return t.g.regexes
}

func (t *transition) setRegex(regex string, v *RegexValue) {
	if t.regexes == nil {
		t.regexes = maps.Clone(t.g.regexes)
	}
	if v == nil {
		delete(t.regexes, regex)
		t.write(keyRegex, regex, nil)
		return
	}
	t.regexes[regex] = *v
	t.write(keyRegex, regex, *v)
}

// resolveRegexes finds the topics that regular expressions stand for. One that is new to the group is resolved at once,
// those that are known once in a while: when there are other topics, or after the refresh interval (spec: groups 19).
func (t *transition) resolveRegexes() error {
	g := t.g
	regex, before := t.meta.regex(), t.old.meta.regex()
	if regex == "" && before == "" && len(g.regexes) == 0 {
		return nil
	}
	if t.regexChanged {
		t.bump = true
		if err := t.changeRegex(regex, before); err != nil {
			return err
		}
	}
	last := time.Time{}
	for _, r := range t.resolvedRegexes() {
		if at := time.UnixMilli(r.TimestampMs); at.After(last) {
			last = at
		}
	}
	if !t.now.After(last.Add(regexRefreshLimit)) {
		return nil
	}
	used := map[string]bool{}
	t.others(func(m *member) { used[m.meta.regex()] = true })
	used[regex] = true
	delete(used, "")
	if len(used) != len(t.resolvedRegexes()) || !g.regexesChecked || t.topicsVersion != g.regexVersion ||
		t.now.After(last.Add(g.cfg.RegexRefreshInterval)) {
		t.resolved = true
		return t.resolve(slices.Sorted(maps.Keys(used)))
	}
	return nil
}

// changeRegex forgets the expression that the member had, if nobody else has it, and resolves its new one.
func (t *transition) changeRegex(regex, before string) error {
	isUsed := map[string]bool{}
	t.others(func(m *member) { isUsed[m.meta.regex()] = true })
	if before != "" && !isUsed[before] {
		t.setRegex(before, nil)
	}
	if _, known := t.resolvedRegexes()[regex]; regex == "" || known {
		return nil
	}
	if !isUsed[regex] {
		if _, err := compileRegex(regex); err != nil {
			return err
		}
	}
	return t.resolve([]string{regex})
}

func (t *transition) resolve(list []string) error {
	compiled := make([]*regexp.Regexp, len(list))
	for i, regex := range list {
		compiled[i], _ = compileRegex(regex) // one that came in by a record and cannot be compiled matches nothing
	}
	topics := make([][]string, len(list))
	for _, topic := range t.g.cfg.Topics.All() {
		for i, c := range compiled {
			if c != nil && c.MatchString(topic.Name) && (t.mayDescribe == nil || t.mayDescribe(topic.Name)) {
				topics[i] = append(topics[i], topic.Name)
			}
		}
	}
	for i, regex := range list {
		slices.Sort(topics[i])
		if !slices.Equal(t.resolvedRegexes()[regex].Topics, topics[i]) {
			t.bump = true
		}
		t.setRegex(regex, &RegexValue{Topics: topics[i], Version: int64(t.topicsVersion), TimestampMs: t.now.UnixMilli()})
	}
	return nil
}
