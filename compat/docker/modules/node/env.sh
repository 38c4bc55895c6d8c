# Sourced. Puts a Node that Testcontainers for Node 12 can use first in the path: where the system's is older than 22.22,
# the one in the npm package node.
usable() { # PROGRAM
	"$1" -e 'const [a, b] = process.versions.node.split("."); process.exit(a * 100 + +b >= 2222 ? 0 : 1)' 2>/dev/null
}

if ! usable node; then
	version=22.22.0
	own=${XDG_CACHE_HOME:-$HOME/.cache}/once-compat/node-$version
	if ! usable "$own/node_modules/.bin/node"; then
		rm -rf "$own" && mkdir -p "$own" && npm install --silent --no-save --prefix "$own" "node@$version" >&2
	fi
	PATH=$own/node_modules/.bin:$PATH
fi
