package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Problem is the answer to a request that fails (RFC 9457).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// problem is an error with the status of its answer.
type problem struct {
	status int
	detail string
	answer any // in place of a Problem; nil for none
}

func (p *problem) Error() string { return p.detail }

func fails(status int, format string, args ...any) error {
	return &problem{status: status, detail: fmt.Sprintf(format, args...)}
}

// withStatus answers with a status of its own, for calls whose failure has a result.
func withStatus(status int, answer any) error {
	return &problem{status: status, answer: answer}
}

// writeError answers with the problem of an error. A fieldError is the client's; any other error is ours.
func writeError(w http.ResponseWriter, err error) {
	var p *problem
	var field *fieldError
	switch {
	case errors.As(err, &p) && p.answer != nil:
		writeJSON(w, p.status, "application/json", p.answer)
	case errors.As(err, &p):
		WriteProblem(w, p.status, p.detail)
	case errors.As(err, &field):
		WriteProblem(w, http.StatusBadRequest, field.Error())
	default:
		WriteProblem(w, http.StatusInternalServerError, err.Error())
	}
}

// WriteProblem answers with a problem.
func WriteProblem(w http.ResponseWriter, status int, detail string) {
	writeJSON(w, status, "application/problem+json",
		Problem{Title: http.StatusText(status), Status: status, Detail: detail})
}

func writeJSON(w http.ResponseWriter, status int, contentType string, answer any) {
	text, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
