package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// guard refuses requests that a browser sends for pages of other sites. A request whose Host is a name that others can
// own is refused: its DNS entry may have been changed to this machine's address. A request from a page of another
// origin is refused, too, unless it only reads: then the browser withholds the answer from the page.
type guard struct {
	hosts    []string // that are allowed besides, in lower case
	hostname string
	token    *[sha256.Size]byte // the hash of the token; nil for none
	origin   *http.CrossOriginProtection
	refuse   func(w http.ResponseWriter, status int, detail string)
}

// unguarded are the paths for orchestrators and scrapers, which use any name for this machine.
var unguarded = append([]string{"/metrics", "/healthz"}, readyPaths...)

// open says whether a path needs no token: the page for people and the description of the lab hold nothing of the
// broker.
func open(path string) bool {
	return path == "/" || path == "/v1/openapi.json" || strings.HasPrefix(path, "/inspector/")
}

func newGuard(hosts []string, token string, refuse func(w http.ResponseWriter, status int, detail string)) *guard {
	g := &guard{origin: http.NewCrossOriginProtection(), refuse: refuse}
	if token != "" {
		hash := sha256.Sum256([]byte(token))
		g.token = &hash
	}
	for _, host := range hosts {
		g.hosts = append(g.hosts, strings.ToLower(host))
	}
	name, _ := os.Hostname()
	g.hostname = strings.ToLower(name)
	return g
}

func (g *guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(unguarded, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		if !g.allows(r.Host) {
			g.refuse(w, http.StatusForbidden, "the host "+r.Host+" is not served; lab.hosts lists further names")
			return
		}
		if err := g.origin.Check(r); err != nil {
			g.refuse(w, http.StatusForbidden, "the request comes from a page of another origin ("+err.Error()+
				"); lab.hosts does not change that")
			return
		}
		if !open(r.URL.Path) && !g.knows(r.Header.Get("Authorization")) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="once"`)
			g.refuse(w, http.StatusUnauthorized, "the request needs Authorization: Bearer TOKEN, with the token of lab.token")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knows says whether a header has the token. The comparison takes the same time for every token.
func (g *guard) knows(authorization string) bool {
	if g.token == nil {
		return true
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	hash := sha256.Sum256([]byte(strings.TrimLeft(token, " ")))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(hash[:], g.token[:]) == 1
}

// allows says whether a Host header is the name of this machine, an address, or a name that nobody else can own.
func (g *guard) allows(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return !strings.Contains(host, ".") || host == g.hostname || strings.HasSuffix(host, ".localhost") ||
		strings.HasSuffix(host, ".internal") || slices.Contains(g.hosts, host)
}
