#!/bin/sh
# Counts what the server refused its users, for Prometheus: the server itself only logs it. Reads the server's log on
# standard input, writes a file for the textfile collector of prometheus-node-exporter.
#
#     journalctl -u nats -o cat --since today | count-refusals.sh /var/lib/prometheus/node-exporter/nats_refusals.prom
set -eu

file=$1
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
awk '
    /Publish Violation/ { kind["publish"]++ }
    /Subscription Violation/ { kind["subscribe"]++ }
    /authentication error|Authorization Violation|TLS handshake error/ { kind["connect"]++ }
    END {
        print "# HELP inspectd_nats_refusals What this server has refused its users today."
        print "# TYPE inspectd_nats_refusals gauge"
        split("publish subscribe connect", kinds, " ")
        for (i = 1; i <= 3; i++) printf "inspectd_nats_refusals{what=\"%s\"} %d\n", kinds[i], kind[kinds[i]]
    }
' >"$new"
chmod 644 "$new"
mv "$new" "$file"
