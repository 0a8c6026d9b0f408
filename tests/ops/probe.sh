#!/bin/sh
# Tries, from inside the unit's sandbox and as root, what the daemon must and must not be able to do.
try() {
    what=$1
    shift
    if "$@" >/dev/null 2>&1; then echo "can $what"; else echo "cannot $what"; fi
}
disk=$(awk 'NR == 3 { print $4 }' /proc/partitions)
try 'read a standard device' head -c 1 /dev/urandom
try 'read a disk' head -c 1 "/dev/$disk"
try 'write to /usr' touch /usr/inspectd-probe
try 'write to /etc' touch /etc/inspectd-probe
try 'write to its state directory' touch "$STATE_DIRECTORY/probe"
try 'write to its runtime directory' touch "$RUNTIME_DIRECTORY/probe"
try 'write to its cache' touch "$XDG_CACHE_HOME/probe"
try 'see home directories' ls /root
try 'make a device node' mknod /tmp/video c 81 0
try 'make a namespace' unshare --user true
try 'run code it compiled' /opt/inspectd/bin/python -c \
    'import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)'
try 'make a frame ring' /opt/inspectd/bin/python -c \
    'import os; os.posix_fallocate(os.memfd_create("ring", os.MFD_ALLOW_SEALING), 0, 65536)'
