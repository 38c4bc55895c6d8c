package handlers

import (
	"cmp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// failFunc answers a request with nothing but an error, like getErrorResponse of Kafka's request class: the code is
// where the answer of this API and version has it, once or for each entry of the request. message is for answers that
// have one. nil means that there is no answer: the connection is closed (spec: wire 8.1).
type failFunc func(r *wire.Request, code wire.Code, message string) kmsg.Response

// Fail answers a request of any served API with nothing but an error; message may be empty. A code that this version
// does not know is replaced.
func (s *Services) Fail(r *wire.Request, code wire.Code, message string) wire.Reply {
	resp := s.byKey[r.Key].fail(r, downgrade(code, r.Key, r.Version), message)
	return wire.Reply{Response: resp, Close: resp == nil}
}

// failAtTop makes the failFunc of an API whose answer has one error for all. place returns the place for the code, and
// the one for a message, nil if there is none.
func failAtTop[R kmsg.Response](place func(R) (*int16, **string)) failFunc {
	return func(r *wire.Request, code wire.Code, message string) kmsg.Response {
		resp := response[R](r)
		at, text := place(resp)
		*at = int16(code)
		if text != nil {
			*text = messageOrNull(message)
		}
		return resp
	}
}

// failWithText makes the failFunc of an API whose answer has one error, always with a text.
func failWithText[R kmsg.Response](place func(R) (*int16, **string)) failFunc {
	return func(r *wire.Request, code wire.Code, message string) kmsg.Response {
		resp := response[R](r)
		at, text := place(resp)
		*at, *text = int16(code), messageOrCode(message, code)
		return resp
	}
}

// messageOrNull is the message of most answers: null when it is empty, so that the client shows its own text for the
// code.
func messageOrNull(message string) *string {
	if message == "" {
		return nil
	}
	return errorMessage(message)
}

// messageOrCode is the message of answers that always have one: the name of the code when the message is empty.
func messageOrCode(message string, code wire.Code) *string {
	return errorMessage(cmp.Or(message, code.String()))
}
