# What has to be passed on with the image. Sourced by run.sh.

labels() {
	local revision
	revision=$(git -C "$root" rev-parse HEAD 2>/dev/null)
	docker image inspect -f '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{"\n"}}{{end}}' $image >"$work/labels"
	grep -q '^org.opencontainers.image.title=Once$' "$work/labels" && grep -q '^org.opencontainers.image.description=..' "$work/labels" &&
		grep -q '^org.opencontainers.image.version=8.1.0$' "$work/labels" && grep -qx "org.opencontainers.image.revision=$revision" "$work/labels" &&
		grep -q '^org.opencontainers.image.base.name=docker.io/library/busybox:1.37-musl$' "$work/labels" || fail "$(cat "$work/labels")"
}
licences() { # those of the modules that the program says that it has, of Go, and of the base image
	docker run --rm $image sh -c 'cd /licenses && find . -type f' >"$work/files" && docker run --rm $image version --licenses >"$work/printed" || return 1
	grep -q '^./busybox/GPL-2.txt$' "$work/files" && grep -q '^./go/LICENSE$' "$work/files" && grep -q 'The Go Authors' "$work/printed" || fail 'busybox or Go' || return 1
	docker run --rm $image cat /usr/local/bin/broker >"$work/broker" && go version -m "$work/broker" >"$work/bill" || return 1
	local module
	for module in $(awk '$1 == "dep" { print $2 }' "$work/bill"); do
		grep -qi "^./$module/" "$work/files" && grep -q "^== licenses/$module/" "$work/printed" || fail "$module" || return 1
	done
	echo "figure: $(awk '$1 == "dep"' "$work/bill" | wc -l) modules are linked, $(wc -l <"$work/files") files of licences"
}

check 'labels' labels
check 'licences of what is linked and of the base' licences
