package lab

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
)

// inspectorFiles is the page for people: plain files, without a build step.
//
//go:embed inspector
var inspectorFiles embed.FS

// inspectorTypes are the types of the page's files, by extension. No other file is served below /inspector/.
var inspectorTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// Inspector returns the handler of the page for people: / and the files below /inspector/. The page reads what GET
// calls below /v1/ answer. Browsers let it load nothing from elsewhere, and let no other page frame it.
func Inspector() http.Handler {
	files := http.FileServerFS(inspectorFiles)
	index, err := fs.ReadFile(inspectorFiles, "inspector/index.html")
	if err != nil {
		panic("lab: the inspector is not embedded: " + err.Error())
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		kind, served := inspectorTypes[path.Ext(r.URL.Path)]
		switch _, err := fs.Stat(inspectorFiles, path.Clean(r.URL.Path)[1:]); {
		case r.URL.Path == "/":
			h.Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(index)
		case served && err == nil:
			h.Set("Content-Type", kind)
			files.ServeHTTP(w, r)
		default:
			WriteProblem(w, http.StatusNotFound, "there is no "+r.URL.Path)
		}
	})
}
