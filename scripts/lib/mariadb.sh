# A MariaDB server of one's own for a test run: in a temporary directory, on a Unix socket only.
# shellcheck shell=bash

# find_mariadb: the server's program; /usr/sbin is not on everyone's PATH.
find_mariadb() {
  PATH=$PATH:/usr/sbin:/usr/local/sbin command -v mariadbd
}

# install_mariadb: Debian's programs, without the package that runs them as a service. Needs root.
install_mariadb() {
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
  say 'installing MariaDB'
  # A mirror that does not answer may not hold up all tests.
  timeout 120 apt-get update -qq >&2 || say 'the lists of packages could not be renewed'
  DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -qq --yes --no-install-recommends \
    mariadb-server-core mariadb-client-core >&2 && find_mariadb >/dev/null
}

# mariadb_user COMMAND…: the server refuses root; root becomes the owner of the directory.
mariadb_user() {
  if [ "$(id -u)" -eq 0 ]; then
    setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups "$@"
  else
    "$@"
  fi
}

# start_mariadb: sets MARIADB_PID and MARIADB_SOCKET; the user is "edge", without a password.
start_mariadb() {
  local server waited=0
  server=$(find_mariadb) || return 1
  MARIADB_DIRECTORY=$(mktemp -d)
  MARIADB_SOCKET=$MARIADB_DIRECTORY/run/socket
  mkdir -p "$MARIADB_DIRECTORY/data" "$MARIADB_DIRECTORY/run" "$MARIADB_DIRECTORY/tmp"
  if [ "$(id -u)" -eq 0 ]; then
    chmod 755 "$MARIADB_DIRECTORY"
    chown nobody "$MARIADB_DIRECTORY"/{data,run,tmp}
  fi
  # Names of tables in capitals are found, as they are on other databases and on other systems.
  mariadb_user mariadb-install-db --no-defaults --datadir="$MARIADB_DIRECTORY/data" \
    --lower-case-table-names=1 --tmpdir="$MARIADB_DIRECTORY/tmp" --skip-test-db \
    --auth-root-authentication-method=normal >"$MARIADB_DIRECTORY/install.log" 2>&1 || {
    cat "$MARIADB_DIRECTORY/install.log"
    return 1
  }
  cat >"$MARIADB_DIRECTORY/init.sql" <<'SQL'
CREATE USER 'edge'@'localhost';
GRANT ALL ON *.* TO 'edge'@'localhost';
SQL
  # Nothing of it outlives the run, so it need not reach the disk.
  mariadb_user "$server" --no-defaults --datadir="$MARIADB_DIRECTORY/data" \
    --socket="$MARIADB_SOCKET" --tmpdir="$MARIADB_DIRECTORY/tmp" --skip-networking \
    --innodb-flush-log-at-trx-commit=0 --sync-binlog=0 --skip-log-bin --lower-case-table-names=1 \
    --character-set-server=utf8mb4 --init-file="$MARIADB_DIRECTORY/init.sql" \
    --pid-file="$MARIADB_DIRECTORY/run/pid" >"$MARIADB_DIRECTORY/server.log" 2>&1 &
  local starter=$!
  until grep -q 'ready for connections' "$MARIADB_DIRECTORY/server.log" &&
    [ -S "$MARIADB_SOCKET" ]; do
    if ! kill -0 "$starter" 2>/dev/null || [ "$waited" -gt 600 ]; then
      cat "$MARIADB_DIRECTORY/server.log"
      return 1
    fi
    waited=$((waited + 1))
    sleep 0.1
  done
  MARIADB_PID=$(cat "$MARIADB_DIRECTORY/run/pid")
}

# stop_mariadb: nothing is left.
stop_mariadb() {
  if [ -n "${MARIADB_PID:-}" ]; then
    kill "$MARIADB_PID" 2>/dev/null || true
    while kill -0 "$MARIADB_PID" 2>/dev/null; do sleep 0.1; done
    MARIADB_PID=
  fi
  [ -z "${MARIADB_DIRECTORY:-}" ] || rm -rf "$MARIADB_DIRECTORY"
  MARIADB_DIRECTORY=
}
