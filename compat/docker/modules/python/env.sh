# Sourced. Makes a virtual environment with what run.sh and the example need the current one. It is made anew when one
# of their lists changes.
_lists=("$root/compat/docker/modules/python/requirements.txt" "$root/examples/python/requirements.txt")
_venv=${XDG_CACHE_HOME:-$HOME/.cache}/once-compat/modules-$(cat "${_lists[@]}" | sha256sum | cut -c1-12)
if [ ! -e "$_venv/done" ]; then
	rm -rf "$_venv"
	python3 -m venv "$_venv" && "$_venv/bin/pip" --quiet --disable-pip-version-check install \
		-r "${_lists[0]}" -r "${_lists[1]}" && touch "$_venv/done"
fi
PATH=$_venv/bin:$PATH
