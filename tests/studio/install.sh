#!/bin/sh
# Installs what drives the browser, as pinned here. Running it again does nothing unless a pin changed.
set -eu
cd "$(dirname "$0")"
# Tests that run at once install one after the other.
exec 9<package-lock.json
flock 9
if [ -f node_modules/.installed ] && cmp -s package-lock.json node_modules/.installed; then
    echo "browser driver: already installed"
else
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.installed
fi
