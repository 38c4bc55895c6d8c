package main

import "math/rand/v2"

// one returns one of some values.
func one[T any](dice *rand.Rand, values ...T) T { return values[dice.IntN(len(values))] }

// sometimes returns the first value in so many of a hundred cases, else one of the others.
func sometimes[T any](dice *rand.Rand, percent int, value T, others ...T) T {
	if dice.IntN(100) < percent {
		return value
	}
	return one(dice, others...)
}

// chance is true in so many of a hundred cases.
func chance(dice *rand.Rand, percent int) bool { return dice.IntN(100) < percent }

// weighted is something to do, with how often it is done beside the others.
type weighted struct {
	weight int
	steps  func() []Step
}

// oneOf does one of some things.
func oneOf(dice *rand.Rand, all []weighted) []Step {
	sum := 0
	for _, w := range all {
		sum += w.weight
	}
	at := dice.IntN(sum)
	for _, w := range all {
		if at -= w.weight; at < 0 {
			return w.steps()
		}
	}
	return nil
}
