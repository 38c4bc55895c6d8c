package settings

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

func TestParseProperties(t *testing.T) {
	const text = "# comment\n! another\n\n" +
		"node.id=1\r\n" +
		"  log.dirs : /data/a b \n" +
		"message.max.bytes 5\n" +
		"listeners=PLAINTEXT://:1,\\\n   SSL://:2\n" +
		"a\\=b\\:c=x\\ty\\u00e9\\\\\n" +
		"#no=1\\\n" +
		"empty=\n" +
		"bare\n" +
		"twice=1\ntwice=2\n" +
		"password=a=b:c#d\n" +
		"last=x\\"
	source, err := ParseProperties("x.properties", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := Values{"node.id": "1", "log.dirs": "/data/a b ", "message.max.bytes": "5",
		"listeners": "PLAINTEXT://:1,SSL://:2",
		"a=b:c":     "x\tyé\\", "empty": "", "bare": "", "twice": "2", "password": "a=b:c#d", "last": "x"}
	if got := source.Values; !maps.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for name, want := range map[string]string{"node.id": "x.properties line 4", "listeners": "x.properties line 7",
		"twice": "x.properties line 14",
		"last":  "x.properties line 16"} {
		if got := source.From[name]; got != want {
			t.Errorf("%s comes from %q, want %q", name, got, want)
		}
	}
}

func TestBrokenPropertiesAreRefused(t *testing.T) {
	if _, err := ParseProperties("x", strings.NewReader("a=1\nb=\\u12")); err == nil ||
		!strings.Contains(err.Error(), "x: line 2") {
		t.Errorf("a broken escape: %v", err)
	}
	for _, text := range []string{strings.Repeat("a=1\n", 300000), "a=" + strings.Repeat("x", 2<<20)} {
		if _, err := ParseProperties("x", strings.NewReader(text)); !errors.Is(err, ErrPropertiesTooLarge) {
			t.Errorf("a file of %d bytes: %v", len(text), err)
		}
	}
}

func FuzzParseProperties(f *testing.F) {
	for _, seed := range []string{"a=b", "a\\", "\\u", "=", "a\\\\\n=b", "a:\\u0041"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		source, err := ParseProperties("x", strings.NewReader(text))
		if err != nil {
			return
		}
		size := 0
		for name, value := range source.Values {
			size += len(name) + len(value)
		}
		if size > len(text) {
			t.Errorf("%d bytes of text give %d bytes of settings", len(text), size)
		}
	})
}

func TestFromEnvironment(t *testing.T) {
	source := FromEnvironment([]string{
		"KAFKA_NUM_PARTITIONS=3", "KAFKA_LISTENERS=PLAINTEXT://:1=2", "KAFKA_A__B___C_D=x", "KAFKA_HEAP_OPTS=-Xmx1G",
		"KAFKA_OPTS=x",
		"KAFKA_JVM_PERFORMANCE_OPTS=x", "KAFKA_=x", "HOME=/", "XKAFKA_NUM_PARTITIONS=4", "KAFKA_EMPTY=",
		"KAFKA_LISTENER_NAME_SSL_SSL_KEYSTORE_TYPE=PEM", "KAFKA_A____B=y",
		"ONCE_STRICT=true", "KAFKA_STRICT=false", "KAFKA_DURABILITY=txn", "ONCE_DEV_AUTO_CREATE_DELAY_MS=5",
		"ONCE_NUM_PARTITIONS=4", "ONCE_=x", "ONCE_PORT=19092",
	})
	want := Values{"num.partitions": "3", "listeners": "PLAINTEXT://:1=2", "a_b-c.d": "x", "empty": "",
		"listener.name.ssl.ssl.keystore.type": "PEM", "a-.b": "y",
		"strict": "true", "durability": "txn", "dev.auto.create.delay.ms": "5", "published.port": "19092"}
	if got := source.Values; !maps.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A value that cannot be is reported with the place that it was set at, which is the strongest of several.
func TestErrorsSayWhereTheValueComesFrom(t *testing.T) {
	file, err := ParseProperties("server.properties",
		strings.NewReader("\nnum.partitions=0\nlisteners=PLAINTEXT://:1,A://:2\nnum.io.threads=0\n"))
	if err != nil {
		t.Fatal(err)
	}
	environment := FromEnvironment([]string{"KAFKA_NUM_IO_THREADS=-1", "KAFKA_STRICT=no", "ONCE_STRICT=yes"})
	flags := Source{Values: Values{"max.connections": "-1"}, From: map[string]string{"max.connections": "--set"}}
	_, _, err = ResolveSources(flags, environment, file)
	want := `max.connections=-1 (--set): must be at least 0
num.io.threads=-1 (KAFKA_NUM_IO_THREADS): must be at least 1
num.partitions=0 (server.properties line 2): must be at least 1
strict=yes (ONCE_STRICT): must be true or false`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	fixed := Values{"num.partitions": "1", "num.io.threads": "1", "strict": "true"}
	_, _, err = ResolveSources(Source{Values: fixed}, file)
	want = "listeners=PLAINTEXT://:1,A://:2 (server.properties line 3): A is not in listener.security.protocol.map, which is SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// Kubernetes sets ONCE_PORT for a service that is called once.
func TestAddressesOfServicesAreNoPublishedPort(t *testing.T) {
	if got := FromEnvironment([]string{"ONCE_PORT=tcp://10.3.0.1:9092"}).Values; len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func BenchmarkResolve(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Resolve(Values{"node.id": "1"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTopic(b *testing.B) {
	broker, _, _ := Resolve()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := broker.Topic(Values{"cleanup.policy": "compact"}); err != nil {
			b.Fatal(err)
		}
	}
}
