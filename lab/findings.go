package lab

import (
	"net/http"
	"slices"
	"strings"

	"once/findings"
)

// Finding is something that the broker noticed about its clients.
type Finding = findings.Finding

func findingCalls() []call {
	return []call{
		on(http.MethodGet, "/findings", "What was noticed about clients that a reviewer of their programs would notice; "+
			"ignore=CODE,CODE leaves codes out", findingsIn).takes("ignore", "limit"),
		on(http.MethodDelete, "/findings", "Forget the findings, and what was seen of clients so far", clearFindings),
	}
}

func findingsIn(x *exchange, _ *none) ([]Finding, error) {
	ignore, err := x.ignoredCodes()
	if err != nil {
		return nil, err
	}
	all, err := noticed(x.cluster.Findings(ignore...))
	if err != nil {
		return nil, err
	}
	x.countAll(len(all))
	return firstOf(x, all)
}

func clearFindings(x *exchange, _ *none) ([]Finding, error) {
	return noticed(x.cluster.ClearFindings())
}

func noticed(all []Finding, on bool) ([]Finding, error) {
	if !on {
		return nil, fails(http.StatusNotFound, "nothing is noticed while the lab is off (lab=false)")
	}
	return all, nil
}

// ignoredCodes returns the codes of the query.
func (x *exchange) ignoredCodes() (codes []findings.Code, err error) {
	if !x.query.Has("ignore") {
		return nil, nil
	}
	for name := range strings.SplitSeq(x.query.Get("ignore"), ",") {
		if !slices.Contains(findings.Codes(), findings.Code(name)) {
			return nil, wrong("?ignore", "has no code %q; codes are %s", name, codeNames())
		}
		codes = append(codes, findings.Code(name))
	}
	return codes, nil
}

func codeNames() string {
	var names []string
	for _, c := range findings.Codes() {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}
