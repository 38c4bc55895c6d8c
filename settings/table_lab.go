package settings

// labSettings are the settings of the lab, with which tests change things over HTTP. Kafka has none of them.
// Sorted by name.
var labSettings = []Definition{
	{"lab", Boolean, "true", anything, static, Implemented, "Whether the admin endpoint has calls that change things, for tests."},
	{"lab.hosts", List, "", anything, static, Implemented, "Names of this machine that the admin endpoint may be asked by, besides its own name, addresses, and names without a dot."},
	{"lab.requests", Int, "4194304", atLeast(0), static, Implemented, "Bytes for the requests that are remembered for GET /v1/requests."},
}
