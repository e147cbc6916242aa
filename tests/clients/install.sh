#!/bin/sh
# Installs the official JavaScript and Python clients that the tests in this folder run, as pinned here.
# Running it again does nothing unless a pin changed.
set -eu
cd "$(dirname "$0")"

# The stamp holds the pins that are installed; it lies inside what it vouches for, so that both go together.
up_to_date() { # pins stamp
    [ -f "$2" ] && cmp -s "$1" "$2"
}

if up_to_date package-lock.json node_modules/.installed; then
    echo "JavaScript client: already installed"
else
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.installed
fi

if up_to_date requirements.txt .venv/.installed; then
    echo "Python client: already installed"
else
    python3 -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.txt
    .venv/bin/python -m pip check >/dev/null
    cp requirements.txt .venv/.installed
fi
