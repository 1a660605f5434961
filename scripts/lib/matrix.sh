# What the Django package is tested on: which Python, which Django, which database.
# docs/django-versions.md says why.
# shellcheck shell=bash

# The newest release of each Django that is supported.
# shellcheck disable=SC2034  # read by the scripts that include this file
DJANGO_RELEASES=(4.2.30 5.2.19 6.0.10 6.1.3)
OLDEST_PYTHON=3.11
NEWER_PYTHONS=(3.14 3.13 3.12)

# Python, Django, database; one line is one run of all tests, and of the oracle.
# shellcheck disable=SC2034
CELLS=(
  'newest 6.1 sqlite-wal'
  'newest 6.1 postgresql'
  'newest 6.1 mariadb'
  'oldest 5.2 sqlite-wal'
  'newest 6.0 postgresql'
  'oldest 4.2 sqlite'
  'oldest 4.2 postgresql'
)

# python_of VERSION: a Python of that version, on PATH or among pyenv's.
python_of() {
  local found
  if found=$(command -v "python$1") && "$found" -c '' 2>/dev/null; then
    "$found" -c 'import sys; print(sys.executable)'
    return
  fi
  command -v pyenv >/dev/null || return 1
  for found in $(ls -d "$(pyenv root)/versions/$1".*/bin/python 2>/dev/null | sort -rV); do
    if "$found" -c '' 2>/dev/null; then
      echo "$found"
      return
    fi
  done
  return 1
}

# newest_python: the version of the newest Python that is there, such as 3.13.
newest_python() {
  local version
  for version in "${NEWER_PYTHONS[@]}"; do
    if python_of "$version" >/dev/null; then
      echo "$version"
      return
    fi
  done
  return 1
}
