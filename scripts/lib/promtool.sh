# Prometheus' own tool, which tries the rules of docs/prometheus: the machine's.
# shellcheck shell=bash

# find_promtool: the program.
find_promtool() {
  PATH=$PATH:$CACHE/prometheus/usr/bin command -v promtool
}

# install_promtool: out of Debian's package, which would run a server where it is installed.
install_promtool() {
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
  say 'fetching promtool'
  local scratch status=0
  scratch=$(mktemp -d)
  (cd "$scratch" && timeout 300 apt-get download -qq prometheus >&2 &&
    dpkg -x prometheus_*.deb .) &&
    mkdir -p "$CACHE/prometheus/usr/bin" &&
    cp "$scratch/usr/bin/promtool" "$CACHE/prometheus/usr/bin/" || status=1
  rm -rf "$scratch"
  return $status
}
