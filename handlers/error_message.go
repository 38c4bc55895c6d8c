package handlers

import "unicode/utf8"

// maxErrorMessageBytes bounds error messages. They repeat names from requests, up to 32767 bytes long and quoted; a
// string of Kafka's protocol cannot be longer than 32767 bytes, and clients cannot read an answer with a longer one.
const maxErrorMessageBytes = 1 << 10

// errorMessage returns a message for an answer, without its end when it is too long.
func errorMessage(message string) *string {
	n := min(len(message), maxErrorMessageBytes)
	for n > 0 && n < len(message) && !utf8.RuneStart(message[n]) {
		n--
	}
	message = message[:n]
	return &message
}
