package handlers

import (
	"reflect"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/faults"
	"once/internal/apiname"
	"once/wire"
)

// FaultAPIs returns what rules have to know of each API that is served. What its requests name is found out by asking
// the row for the subjects of filled requests, so that a new row needs no second table.
var FaultAPIs = sync.OnceValue(func() (apis []faults.API) {
	for _, row := range rows() {
		api := faults.API{Key: row.Key, Name: apiname.Of(row.Key)}
		for version := row.Min; version <= row.Max; version++ {
			body := kmsg.RequestForKey(row.Key)
			_, throttle := reflect.TypeOf(body.ResponseKind()).Elem().FieldByName("ThrottleMillis")
			api.Throttle = api.Throttle || throttle
			for number := range int64(33) { // the types of resources and keys are below
				api.Names |= namesIn(&row, version, number)
			}
		}
		apis = append(apis, api)
	}
	return apis
})

// namesIn returns what a request names in which each list has an entry, and each number is number.
func namesIn(row *row, version int16, number int64) (kinds faults.Kinds) {
	body := kmsg.RequestForKey(row.Key)
	fill(reflect.ValueOf(body).Elem(), number)
	body.SetVersion(version)
	if len(membersIn(body)) > 0 {
		kinds |= faults.Members
	}
	if row.subjects == nil {
		return kinds
	}
	about := row.subjects(Catalogue{}, &wire.Request{Key: row.Key, Version: version, Body: body})
	if about.AllTopics || len(about.Topics) > 0 {
		kinds |= faults.Topics
	}
	for _, t := range about.Topics {
		if len(t.Partitions) > 0 {
			kinds |= faults.Partitions
		}
	}
	if len(about.Groups) > 0 {
		kinds |= faults.Groups
	}
	if len(about.Transactions) > 0 {
		kinds |= faults.TransactionalIDs
	}
	return kinds
}

func fill(v reflect.Value, number int64) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), number)
	case reflect.String:
		v.SetString("x")
	case reflect.Int8:
		v.SetInt(number)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), number)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), number)
			}
		}
	}
}
