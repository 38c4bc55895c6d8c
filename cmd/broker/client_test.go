package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"once/internal/kafkatest"
	"once/wire"
)

// dial returns a client of a broker, which returns what goes wrong.
func dial(t *testing.T, addr string) *kafkatest.Client {
	t.Helper()
	return kafkatest.Connect(t, addr).Quiet()
}

// create creates topics of one partition.
func create(t *testing.T, c *kafkatest.Client, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		must(t, c.CreateTopic(topic, 1, nil))
	}
}

// begin returns a new producer; "" is one without transactions.
func begin(t *testing.T, c *kafkatest.Client, transactionalID string) *kafkatest.Producer {
	t.Helper()
	p, err := c.InitProducer(transactionalID)
	must(t, err)
	return p
}

// produce appends a record to partition 0, of no producer.
func produce(c *kafkatest.Client, topic, value string) error {
	_, err := c.Produce(nil, topic, 0, kafkatest.Values(value)...)
	return err
}

// refused reports whether an error is one of these codes in an answer.
func refused(err error, codes ...wire.Code) bool {
	var answer *kafkatest.CodeError
	return errors.As(err, &answer) && slices.Contains(codes, wire.Code(answer.Code))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// number is the number at the front of a value.
func number(value string) int {
	head, _, _ := strings.Cut(value, " ")
	n, _ := strconv.Atoi(head)
	return n
}

// transaction writes its number to two topics and as an offset.
func transaction(c *kafkatest.Client, p *kafkatest.Producer, n int, commit bool) error {
	for _, topic := range []string{"left", "right"} {
		if _, err := c.Produce(p, topic, 0, kafkatest.Values(fmt.Sprint(n), fmt.Sprint(n))...); err != nil {
			return err
		}
	}
	offset := int64(n)
	if !commit {
		offset = 1_000_000
	}
	if err := c.Stage(p, "movers", "left", 0, offset); err != nil {
		return err
	}
	return c.End(p, commit)
}
