package handlers

import "unicode/utf8"

// maxErrorMessageBytes bounds what an answer says about an error. Messages repeat names that clients have sent, up to
// 32767 bytes long and quoted; a string of Kafka's protocol holds no more than that, and an answer with a longer
// one cannot be read.
const maxErrorMessageBytes = 1 << 10

// errorMessage returns a message as an answer carries it, without its end when it is too long.
func errorMessage(message string) *string {
	n := min(len(message), maxErrorMessageBytes)
	for n > 0 && n < len(message) && !utf8.RuneStart(message[n]) {
		n--
	}
	message = message[:n]
	return &message
}
