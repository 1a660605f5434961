# The browser that the dashboard is tested in: the machine's.
# shellcheck shell=bash

# find_chromium: the program.
find_chromium() {
  local name
  for name in chromium chromium-browser google-chrome-stable google-chrome; do
    command -v "$name" && return
  done
  return 1
}

# install_chromium: Debian's package. Needs root.
install_chromium() {
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
  say 'installing Chromium'
  # A mirror that does not answer may not hold up all tests.
  timeout 120 apt-get update -qq >&2 || say 'the lists of packages could not be renewed'
  DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -qq --yes --no-install-recommends \
    chromium >&2 && find_chromium >/dev/null
}
