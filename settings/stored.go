package settings

import "strconv"

// CanonicalTopic returns the settings of a topic in the form that they are stored in, or the first problem as an
// *InvalidError.
func CanonicalTopic(overrides Values) (Values, error) {
	return checkOverrides(topicSettings, overrides, "topic")
}

// CheckStoredTopic says whether CanonicalTopic can have returned these settings of a topic. It refuses another spelling
// of an allowed value, such as -0 for 0. The error is an *InvalidError.
func CheckStoredTopic(overrides Values) error {
	canonical, err := CanonicalTopic(overrides)
	if err != nil {
		return err
	}
	return mustBeStoredAs(overrides, canonical, func(*Definition) bool { return true })
}

// CanonicalOldTopic is CanonicalTopic for settings that were stored as clients wrote them. Whole numbers are accepted
// in their usual form only: with one flipped bit, -1 is -0, and 100 is 10 with a space.
func CanonicalOldTopic(overrides Values) (Values, error) {
	canonical, err := CanonicalTopic(overrides)
	if err != nil {
		return nil, err
	}
	isWhole := func(d *Definition) bool { return d.Kind == Short || d.Kind == Int || d.Kind == Long }
	return canonical, mustBeStoredAs(overrides, canonical, isWhole)
}

func mustBeStoredAs(overrides, canonical Values, which func(*Definition) bool) error {
	for i := range topicSettings { // in the order of the names
		d := &topicSettings[i]
		value, set := overrides[d.Name]
		if set && value != canonical[d.Name] && which(d) {
			return &InvalidError{Name: d.Name, Value: strconv.Quote(value),
				Reason: "is not how " + canonical[d.Name] + " is stored"}
		}
	}
	return nil
}
