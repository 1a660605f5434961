# Shared by the bash scripts: strict mode, where things are, how progress and errors look.
# shellcheck shell=bash
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${EDGE_ISR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/edge-isr}
SCRIPT=$(basename "$0")

# say TEXT: one line of progress, on stderr so that a script's output stays its own.
say() { printf '%s: %s\n' "$SCRIPT" "$*" >&2; }

# die TEXT: the error, and what to do about it, then exit 1.
die() {
  printf '%s: error: %s\n' "$SCRIPT" "$*" >&2
  exit 1
}

# missing TEXT: said aloud; in continuous integration an error.
missing() {
  say "NOT TESTED: $1"
  [ "${CI:-}" != true ]
}

# usage_error TEXT: a wrong command line.
usage_error() {
  printf '%s: %s (see %s --help)\n' "$SCRIPT" "$*" "scripts/$SCRIPT" >&2
  exit 2
}

# hash_of: the SHA-256 of standard input, 16 hex digits of it.
hash_of() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16
}

# platform: what a cached binary depends on.
platform() { printf '%s-%s' "$(uname -s)" "$(uname -m)" | tr '[:upper:]' '[:lower:]'; }

# use_tools: the environment in which worker-build finds its helpers instead of downloading them.
use_tools() {
  export WASM_BINDGEN_BIN=$ROOT/.tools/bin/wasm-bindgen
  export WASM_OPT_BIN=$ROOT/node_modules/.bin/wasm-opt
  export ESBUILD_BIN=$ROOT/node_modules/.bin/esbuild
  export PATH=$ROOT/node_modules/.bin:$PATH
}
