// Package shrink makes the sizes of a component small for a test, so that what the test stores or sends is larger than
// each of them. Only tests use it.
package shrink

import (
	"hash/fnv"
	"math/rand"
	"os"
	"reflect"
	"testing"
)

// Most is the largest value that Fields sets.
const Most = 100

// Fields sets every integer field of the struct that sizes points to to a number from 1 to Most.
func Fields(sizes any, dice *rand.Rand) {
	v := reflect.ValueOf(sizes).Elem()
	for i := range v.NumField() {
		if v.Field(i).CanInt() {
			v.Field(i).SetInt(int64(1 + dice.Intn(Most)))
		}
	}
}

// Sizes returns the zero S, which stands for the defaults, or small sizes when ONCE_SMALL_SIZES is set in the
// environment. They depend on the name of the test and on what the variable is set to.
func Sizes[S any](t testing.TB) (sizes S) {
	seed := os.Getenv("ONCE_SMALL_SIZES")
	if seed == "" {
		return sizes
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(t.Name() + seed))
	Fields(&sizes, rand.New(rand.NewSource(int64(hash.Sum64()))))
	return sizes
}
