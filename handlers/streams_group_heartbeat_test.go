package handlers

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// What is remembered about topics that could not be created is bounded, and makes room when it is over.
func TestFailedCreationsAreBounded(t *testing.T) {
	var c streamsTopics
	now := time.Unix(1000, 0)
	refused := errors.New("refused")
	for i := range maxFailedCreations + 1 {
		c.remember(fmt.Sprint(i), failedCreation{refused, now.Add(time.Second)}, now)
	}
	if c.failure("0", now) != refused || c.failure(fmt.Sprint(maxFailedCreations), now) != nil {
		t.Error("the first failure is not remembered, or one more than the maximum is")
	}
	now = now.Add(time.Second)
	if c.failure("0", now) != nil {
		t.Error("a topic is not tried again")
	}
	if c.remember("x", failedCreation{refused, now.Add(time.Second)}, now); c.failure("x", now) != refused {
		t.Error("there is no room for a new failure, though the old ones are over")
	}
}
