// Package compat holds stock Go clients as tests: franz-go, sarama and kafka-go, unmodified, against a broker
// reached over a socket. What they check is what any Kafka broker does, so each test passes on Apache Kafka
// too; a test that only this project's broker passes belongs elsewhere.
//
// ONCE_TEST_BROKER=HOST:PORT names the broker; without it the tests build and start this project's own.
// There is nothing to import.
package compat
