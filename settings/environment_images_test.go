package settings

import (
	"maps"
	"testing"
)

// Variables of images other than Kafka's own.
func TestVariablesOfOtherImages(t *testing.T) {
	for _, c := range []struct {
		what    string
		environ []string
		want    Values
	}{
		{"Bitnami's win", []string{"KAFKA_CFG_NUM_PARTITIONS=3", "KAFKA_NUM_PARTITIONS=2", "KAFKA_CFG_LOG_DIRS=/x",
			"KAFKA_ENABLE_KRAFT=yes",
			"KAFKA_KRAFT_CLUSTER_ID=x", "ALLOW_PLAINTEXT_LISTENER=yes"}, Values{"num.partitions": "3", "log.dirs": "/x"}},
		{"a host", []string{"KAFKA_ADVERTISED_HOST_NAME= 192.168.1.5 "},
			Values{"listeners": "PLAINTEXT://:9092", "advertised.listeners": "PLAINTEXT://192.168.1.5:9092"}},
		{"host and port", []string{"KAFKA_ADVERTISED_HOST_NAME=h", "KAFKA_ADVERTISED_PORT=32000"},
			Values{"listeners": "PLAINTEXT://:9092", "advertised.listeners": "PLAINTEXT://h:32000"}},
		{"host and inner port", []string{"KAFKA_ADVERTISED_HOST_NAME=::1", "KAFKA_PORT=9093"},
			Values{"listeners": "PLAINTEXT://:9093", "advertised.listeners": "PLAINTEXT://[::1]:9093"}},
		{"listeners win", []string{"KAFKA_ADVERTISED_HOST_NAME=h", "KAFKA_LISTENERS=PLAINTEXT://:1",
			"KAFKA_CFG_ADVERTISED_LISTENERS=PLAINTEXT://g:1"},
			Values{"listeners": "PLAINTEXT://:1", "advertised.listeners": "PLAINTEXT://g:1"}},
		{"a service of Kubernetes", []string{"KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_ADVERTISED_HOST_NAME=h"},
			Values{"listeners": "PLAINTEXT://:9092", "advertised.listeners": "PLAINTEXT://h:9092"}},
		{"a port alone", []string{"KAFKA_PORT=9093", "KAFKA_ADVERTISED_PORT=1"}, Values{}},
	} {
		source := FromEnvironment(c.environ)
		if !maps.Equal(source.Values, c.want) {
			t.Errorf("%s: %v, want %v", c.what, source.Values, c.want)
		}
		for name := range source.Values {
			if source.From[name] == "" {
				t.Errorf("%s: nobody knows where %s comes from", c.what, name)
			}
		}
	}
}
