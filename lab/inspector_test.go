package lab

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// The page and its files come under a policy that lets nothing in from elsewhere, and there are no others.
func TestInspectorIsServedUnderItsPolicy(t *testing.T) {
	handler := Inspector()
	ask := func(path string) *http.Response {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Result()
	}
	kinds := map[string]string{"/": "text/html; charset=utf-8"}
	for _, name := range inspectorNames(t) {
		if ext := filepath.Ext(name); ext != ".html" {
			kinds["/inspector/"+name] = inspectorTypes[ext]
		}
	}
	if len(kinds) < 5 {
		t.Errorf("there are only %d files", len(kinds))
	}
	for path, kind := range kinds {
		r := ask(path)
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %d %q", path, r.StatusCode, r.Header.Get("Content-Type"))
		}
		if got := r.Header.Get("Content-Security-Policy"); got != "default-src 'self'; frame-ancestors 'none'" {
			t.Errorf("%s: policy %q", path, got)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s may be sniffed", path)
		}
	}
	for _, path := range []string{"/inspector/", "/inspector/nonsense.js", "/inspector/index.html",
		"/inspector/../inspector.go"} {
		if r := ask(path); r.StatusCode != 404 {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
}

func inspectorNames(t *testing.T) (names []string) {
	files, err := inspectorFiles.ReadDir("inspector")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// Names and values are hostile: no file of the page writes HTML, evaluates text, or asks another host.
func TestInspectorWritesText(t *testing.T) {
	for _, name := range inspectorNames(t) {
		if filepath.Ext(name) == ".svg" { // its namespace is an address
			continue
		}
		text, err := inspectorFiles.ReadFile("inspector/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "createContextualFragment", "setHTML",
			"DOMParser", "srcdoc", "document.write", "eval(", "http:", "https:", "style=", " onclick=\""} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
	}
}

// Lists come in pages, sorted by name, and whole without a limit.
func TestListsComeInPages(t *testing.T) {
	w := start(t)
	var body []string
	for i := range 25 {
		body = append(body, fmt.Sprintf(`{"name": "t%02d", "partitions": 1}`, i))
	}
	w.expect("POST", "/v1/topics", "["+strings.Join(body, ",")+"]", 200, `"t24"`)
	var all, first, second []Topic
	w.into("GET", "/v1/topics", "", &all)
	w.into("GET", "/v1/topics?limit=10", "", &first)
	w.into("GET", "/v1/topics?limit=10&after="+first[len(first)-1].Name, "", &second)
	if len(all) < 25 || len(first) != 10 || len(second) != 10 || second[0].Name <= first[9].Name {
		t.Errorf("%d topics, first page of %d, second of %d", len(all), len(first), len(second))
	}
	w.expect("GET", "/v1/topics?limit=0", "", 400, "?limit")
	w.expect("GET", "/v1/transactions?open=maybe", "", 400, "?open: must be true or false")
	w.expect("GET", "/v1/transactions?open=true&limit=5", "", 200, "[]")
	w.expect("GET", "/v1/topics?open=true&limit=5", "", 200, "[]")
	w.expect("GET", "/v1/groups?limit=5&after=a", "", 200, "[]")
}
