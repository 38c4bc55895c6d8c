// Package apiname has Kafka's names of its APIs. Package kmsg writes some of them otherwise.
package apiname

import (
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkas are the names that kmsg writes otherwise, in parts.
var kafkas = strings.NewReplacer("SASL", "Sasl", "SCRAM", "Scram", "ACL", "Acl", "ISR", "Isr",
	"ProducerID", "ProducerId", "AlterPartitionAssignments", "AlterPartitionReassignments")

var names = sync.OnceValue(func() map[int16]string {
	all := map[int16]string{}
	for key := range int16(kmsg.MaxKey + 1) {
		all[key] = kafkas.Replace(kmsg.NameForKey(key))
	}
	return all
})

// Of returns the name of the API with a key; "Unknown" if there is none.
func Of(key int16) string {
	if name, ok := names()[key]; ok {
		return name
	}
	return kmsg.NameForKey(key)
}
