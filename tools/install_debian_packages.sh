#!/bin/sh
# Installs the Debian packages that the tests use: cameras to read from, a Prometheus to scrape with,
# an MQTT broker, a database, systemd, a browser with Korean letters.
# Does nothing, quickly, when they are all there. Leaves no service running.
set -eu

list=$(dirname "$0")/../tests/debian-packages.txt
wanted=$(sed -e 's/#.*//' "$list" | tr -s ' \n' ' ')

fail() {
    echo "install_debian_packages: $1" >&2
    echo "  The tests need these Debian packages:$missing" >&2
    exit 3
}

missing=
for package in $wanted; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
        installed) ;;
        *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || fail "there is no apt-get here, so they cannot be installed; install their like by hand"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=sudo
else
    fail "this takes root: run it with sudo, or run: sudo apt-get install --no-install-recommends$missing"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install_missing() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 $missing >"$log" 2>&1
}
echo "Installing Debian packages:$missing"
if ! install_missing; then
    # The package lists may be older than the archive; a failed update shows in the second try.
    $as_root apt-get update -o DPkg::Lock::Timeout=600 >"$log" 2>&1 || true
    if ! install_missing; then
        tail -n 20 "$log" >&2
        fail "apt-get could not install them; its last lines are above"
    fi
fi

# Debian starts what it installs where systemd runs; the tests start their own.
for service in mosquitto postgresql prometheus; do
    case " $missing " in *" $service "*) [ ! -d /run/systemd/system ] || $as_root systemctl disable --now $service ;; esac
done
