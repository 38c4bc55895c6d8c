package settings

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// labSettings are the settings of the lab, with which tests change things over HTTP. Kafka has none of them.
// Sorted by name.
var labSettings = []Definition{
	{"clusters.max", Int, "64", atLeast(0), static, Implemented,
		"Clusters that POST /v1/clusters may make, besides the default one."},
	{"clusters.ports", String, "", valid{check: checkPorts}, static, Implemented,
		"Ports of the clusters that POST /v1/clusters makes, as FIRST-LAST; empty for any free port."},
	{"lab", Boolean, "true", anything, static, Implemented,
		"Whether the admin endpoint has calls that change things, for tests."},
	{"lab.archive.max.bytes", Long, "67108864", atLeast(0), static, Implemented,
		"Largest archive of a snapshot that is taken, packed and unpacked."},
	{"lab.hosts", List, "", anything, static, Implemented,
		"Names of this machine that the admin endpoint may be asked by, besides its own name, addresses, and names " +
			"without a dot."},
	{"lab.requests", Int, "4194304", atLeast(0), static, Implemented,
		"Bytes for the requests that are remembered for GET /v1/requests, and as many for findings."},
	{"lab.token", Password, null, valid{check: checkToken}, static, Implemented,
		"What calls of the admin endpoint must have as Authorization: Bearer TOKEN, reading ones too; without it they need " +
			"nothing. Metrics and health need nothing."},
}

// bearerToken is what a header can have as a token (RFC 6750).
var bearerToken = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

func checkToken(value string) error {
	if bearerToken.MatchString(value) {
		return nil
	}
	return errors.New("must be letters, digits and -._~+/, with = only at its end")
}

// checkPorts allows nothing, or a range of ports.
func checkPorts(value string) error {
	if value == "" {
		return nil
	}
	_, _, err := portRange(value)
	return err
}

var errPorts = errors.New("must be a range of ports, FIRST-LAST")

func portRange(value string) (first, last int, err error) {
	low, high, ok := strings.Cut(value, "-")
	first, err = strconv.Atoi(low)
	last, lastErr := strconv.Atoi(high)
	if !ok || err != nil || lastErr != nil || first < 1 || last < first || last > math.MaxUint16 {
		return 0, 0, errPorts
	}
	return first, last, nil
}
