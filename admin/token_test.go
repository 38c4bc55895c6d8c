package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// With a token, a request without it reaches nothing that shows or changes the broker.
func TestRequestsNeedTheToken(t *testing.T) {
	reached := 0
	served := newGuard(nil, "s3cret.Token", func(w http.ResponseWriter, status int, detail string) {
		http.Error(w, detail, status)
	}).wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	ask := func(method, path, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://localhost"+path, nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		reached = 0
		w := httptest.NewRecorder()
		served.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"/v1/reset", "/v1/clusters/a/reset", "/v1/records/t/0", "/v1/openapi.json/",
		"/v1/../v1/reset", "/state",
		"/debug/pprof/cmdline", "/inspector", "//"} {
		for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
			for _, wrong := range []string{"", "Bearer", "Bearer ", "Bearer s3cret.Toke", "Bearer s3cret.Token2",
				"bearer S3CRET.TOKEN", "Basic s3cret.Token",
				"s3cret.Token", "Bearer s3cret.Token s3cret.Token", "Bearers3cret.Token"} {
				w := ask(method, path, wrong)
				if reached != 0 || w.Code != 401 || w.Header().Get("WWW-Authenticate") != `Bearer realm="once"` ||
					strings.Contains(w.Body.String(), "s3cret") {
					t.Errorf("%s %s with %q: %d %s", method, path, wrong, w.Code, w.Body)
				}
			}
		}
		for _, right := range []string{"Bearer s3cret.Token", "bearer s3cret.Token", "Bearer  s3cret.Token"} {
			if w := ask("POST", path, right); reached != 1 {
				t.Errorf("%s with %q: %d", path, right, w.Code)
			}
		}
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/ready", "/v1/status/ready", "/",
		"/inspector/page.js", "/v1/openapi.json"} {
		if w := ask("GET", path, ""); reached != 1 {
			t.Errorf("%s needs a token: %d", path, w.Code)
		}
	}
	r := httptest.NewRequest("POST", "http://localhost/v1/reset", nil)
	r.Header.Set("Authorization", "Bearer s3cret.Token")
	r.Header.Set("Origin", "http://evil.example.com")
	reached = 0
	served.ServeHTTP(httptest.NewRecorder(), r)
	if reached != 0 {
		t.Error("a foreign page with the token is served")
	}
}
