package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Domain makes the steps of one sequence about a part of the protocol. Two domains with the same seed that get the same
// answers make the same steps.
type Domain interface {
	// Setup returns the steps that every sequence begins with.
	Setup() []Step
	// Next returns the next step, with those that belong behind it.
	Next(dice *rand.Rand) []Step
	// Answered is told what Kafka has answered to a step, and what its values are called. The answer is nil when the
	// connection was closed.
	Answered(step Step, answer kmsg.Response, called *names)
}

// exchange is a step with what both brokers have answered.
type exchange struct {
	Step
	kafka, once string
}

func (e exchange) differs() bool { return e.kafka != e.once }

// pair are the two brokers.
type pair struct {
	kafka, once string // their addresses
	expectations
	sequences int
}

// both is a sequence on both brokers.
type both struct {
	kafka, once *side
	done        []exchange
}

// begin begins a sequence with names that neither broker has seen.
func (p *pair) begin() *both {
	p.sequences++
	// A dash and six digits, as in scripts: answers have lengths of names in them.
	const sixDigits = 36 * 36 * 36 * 36 * 36
	suffix := "-" + strconv.FormatInt(sixDigits+(time.Now().UnixNano()/1000+int64(p.sequences))%1e9, 36)
	now := time.Now().UnixMilli()
	return &both{
		kafka: &side{names: newNames(suffix, now), addr: p.kafka},
		once:  &side{names: newNames(suffix, now), addr: p.once},
	}
}

func (b *both) end() {
	for _, s := range []*side{b.kafka, b.once} {
		s.deleteTopics()
		s.close()
	}
}

// do carries out a step on both brokers and tells whether a domain may go on.
func (b *both) do(step Step) (kmsg.Response, exchange) {
	e := exchange{Step: step}
	var answer kmsg.Response
	time.Sleep(step.Rest)
	answer, e.kafka = b.kafka.ask(step)
	_, e.once = b.once.ask(step)
	b.done = append(b.done, e)
	return answer, e
}

// explore lets a domain make a sequence of so many steps, up to the first difference. It returns what was done; the
// last exchange may be a difference.
func (p *pair) explore(d Domain, dice *rand.Rand, steps int) []exchange {
	b := p.begin()
	defer b.end()
	run := func(all []Step) bool {
		for _, step := range all {
			answer, e := b.do(step)
			if e.differs() && !p.mayGoOn(b.done) {
				return false
			}
			d.Answered(step, answer, b.kafka.names)
		}
		return true
	}
	if !run(d.Setup()) {
		return b.done
	}
	for range steps {
		if !run(d.Next(dice)) {
			break
		}
	}
	return b.done
}

// replay carries out steps that were made before, up to the first difference.
func (p *pair) replay(steps []exchange) []exchange {
	b := p.begin()
	defer b.end()
	for _, step := range steps {
		if _, e := b.do(step.Step); e.differs() && !p.mayGoOn(b.done) {
			break
		}
	}
	return b.done
}

// asScript returns a sequence in the dialect of broker/testdata, with Kafka's answers, and what this broker has
// answered to the last command.
func asScript(title string, done []exchange) string {
	var text strings.Builder
	fmt.Fprintf(&text, "# %s\n", title)
	for i, e := range done {
		if e.While != "" {
			e.Until = firstWords(e.kafka)
		}
		fmt.Fprintf(&text, "%s\n----\n%s\n\n", e.Step, e.kafka)
		if i == len(done)-1 {
			fmt.Fprintf(&text, "# This broker answers otherwise:\n#\t%s\n", strings.ReplaceAll(e.once, "\n", "\n#\t"))
		}
	}
	return text.String()
}

// firstWords are the beginning of an answer that an until of a script can wait for.
func firstWords(answer string) string {
	words := strings.Fields(answer)
	for _, word := range words {
		if state, ok := strings.CutPrefix(word, "State="); ok {
			return state
		}
	}
	return words[0]
}
