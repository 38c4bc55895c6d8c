package apiname

import "testing"

// As kafka-broker-api-versions.sh prints them.
func TestNamesAreKafkas(t *testing.T) {
	for key, want := range map[int16]string{
		0: "Produce", 17: "SaslHandshake", 22: "InitProducerId", 29: "DescribeAcls", 30: "CreateAcls", 31: "DeleteAcls",
		36: "SaslAuthenticate",
		45: "AlterPartitionReassignments", 50: "DescribeUserScramCredentials", 51: "AlterUserScramCredentials",
		93:   "StreamsGroupTopologyDescriptionUpdate",
		1000: "Unknown", -1: "Unknown",
	} {
		if got := Of(key); got != want {
			t.Errorf("%d: %s, want %s", key, got, want)
		}
	}
}
