# Sourced. run.sh and the example share what they compile, which is kept between runs.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/once-compat/rust}
export CARGO_INCREMENTAL=0
