package tools_test

import (
	"regexp"
	"slices"
	"strings"
)

// What differs from run to run, and what Kafka's tools say about themselves.
var (
	removed = regexp.MustCompile(`(?m)^(\tat |Caused by: |\t\.\.\. |The consumer rebalance protocol|Warning: --property is deprecated|` +
		`Option --property is deprecated|\t+Suppressed: |kafka-[a-z-]+ --help has the options|\t[A-Za-z]+\([0-9]+\): UNSUPPORTED|` +
		`java\.util\.concurrent\.ExecutionException: org\.apache\.kafka\.common\.errors\.(GroupIdNotFound|SecurityDisabled|BrokerIdNotRegistered)).*\n`)
	usage    = regexp.MustCompile(`(?ms)^Option( \(\* = required\))? +Description *\n.*`)
	replaced = []struct {
		pattern *regexp.Regexp
		by      string
	}{
		{regexp.MustCompile(`java\.util\.concurrent\.ExecutionException: `), ""},
		{regexp.MustCompile(`(?m)^org\.apache\.kafka\.common\.errors\.[A-Za-z]+: `), ""},
		{regexp.MustCompile(`TopicId: \S+`), "TopicId: ID"},
		{regexp.MustCompile(`(?m)^ClusterId: +\S+`), "ClusterId: ID"},
		{regexp.MustCompile(`\b[0-9]+ ms ago *\t`), "N ms ago\t"},
		{regexp.MustCompile(`\b1[0-9]{12}(\s*\t)[0-9]+ *\t`), "TIME${1}DURATION\t"},
		{regexp.MustCompile(`\b1[0-9]{12}\b`), "TIME"},
		{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
		{regexp.MustCompile(`[A-Za-z0-9_-]{22}==`), "UUID"},
		{regexp.MustCompile(`\b127\.0\.0\.1 [0-9]+ *`), "127.0.0.1 PORT "},
		{regexp.MustCompile(`\[usable: [0-9]+\]`), "[usable: N]"},
		{regexp.MustCompile(`Error occurred: org\.apache\.kafka\.tools\.[A-Za-z]+: `), "Error occurred: "},
		{regexp.MustCompile(`"size":[0-9]+`), `"size":N`},
		{regexp.MustCompile(`"logDir":"[^"]*"`), `"logDir":"DIR"`},
		{regexp.MustCompile(`"log_dirs":\["/[^"]*"\]`), `"log_dirs":["DIR"]`},
		{regexp.MustCompile(`\b[0-9]+\.[0-9]+ (records/sec|MB/sec|ms)\b`), "N $1"},
		{regexp.MustCompile(`\b[0-9]+ ms ([0-9.]+th)`), "N ms $1"},
		{regexp.MustCompile(`(?m)^20\S+ \S+, 20\S+ \S+, [0-9.]+, [^,]+, ([0-9]+), .*`), "TIMES, RATES, $1, RATES"},
		{regexp.MustCompile(`,\n\)`), "\n)"},
		{regexp.MustCompile(`(\t[A-Za-z]+\(([4-9]|[0-9]{2,})\): [0-9]+( to [0-9]+)? \[usable: N\],?\n)+`), "\t…\n"},
		{regexp.MustCompile(`(?m)[ \t]+$`), ""},
	}
)

// exception is the class of one of Java's, in front of its message.
var exception = regexp.MustCompile(`^(([a-z]+\.)+[A-Z][A-Za-z]+: )+`)

// withoutRepetition takes out the beginning of a trace behind the message that it repeats, and of a message alone its
// class.
func withoutRepetition(output string) string {
	var lines []string
	for _, line := range strings.Split(output, "\n") {
		what := exception.ReplaceAllString(line, "")
		last := ""
		if len(lines) > 0 {
			last = lines[len(lines)-1]
		}
		switch {
		case what != line && strings.HasSuffix(last, what), line == last && strings.Contains(line, " "):
		case strings.HasPrefix(line, "joptsimple."):
			lines = append(lines, what)
		default:
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// valid is a list of words that Java prints in the order of a hash.
var valid = regexp.MustCompile(`(Valid states are: |following scenarios: \[|these options: |following options: )(.*)`)

func sortValid(s string) string {
	parts := valid.FindStringSubmatch(s)
	words := strings.Split(strings.TrimSuffix(parts[2], "]"), ", ")
	slices.Sort(words)
	return parts[1] + strings.Join(words, ", ")
}

func normalize(output, address string) string {
	output = valid.ReplaceAllStringFunc(withoutRepetition(output), sortValid)
	output = removed.ReplaceAllString(strings.ReplaceAll(output, "\r", ""), "")
	output = usage.ReplaceAllString(strings.ReplaceAll(output, address, "BROKER"), "")
	for _, r := range replaced {
		output = r.pattern.ReplaceAllString(output, r.by)
	}
	return output
}
