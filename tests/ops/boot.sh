#!/bin/sh
# PID 1 of a private PID, mount and cgroup namespace: a small machine for tests/ops/test_systemd.py, with its own
# /etc, /var, /opt and /run over this one's file system. Then systemd. The environment says what goes where.
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup

cp -a /etc "$MACHINE/etc"
mount --bind "$MACHINE/etc" /etc
mount -t tmpfs -o mode=755 tmpfs /var
mkdir -p -m 755 /var/lib /var/cache /var/log
mkdir -m 1777 /var/tmp

# The installation of docs/operations.md, out of the environment the tests run in.
mount -t tmpfs -o mode=755 tmpfs /opt
mkdir -p /opt/python /opt/inspectd/bin /opt/inspectd/src "/opt/inspectd/lib/$PYTHON/site-packages"
mount --bind "$BASE_PREFIX" /opt/python
mount --bind "$SITE_PACKAGES" "/opt/inspectd/lib/$PYTHON/site-packages"
mount --bind "$SOURCE" /opt/inspectd/src
ln -s "/opt/python/bin/$PYTHON" /opt/inspectd/bin/python
echo "home = /opt/python/bin" >/opt/inspectd/pyvenv.cfg
cat >/opt/inspectd/bin/inspectd <<'END'
#!/opt/inspectd/bin/python
from inspectd.cli import main

raise SystemExit(main())
END
chmod 755 /opt/inspectd/bin/inspectd
mkdir -p -m 755 /etc/inspectd /etc/sysusers.d /var/lib/inspectd
cp "$MACHINE"/settings/*.toml /etc/inspectd/
cp -rL "$MACHINE/state" /var/lib/inspectd/line1
cp "$SOURCE/systemd/inspectd.sysusers.conf" /etc/sysusers.d/inspectd.conf
systemd-sysusers

mount --make-rshared /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other SYSTEMD_UNIT_PATH="$MACHINE/units" \
    /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
