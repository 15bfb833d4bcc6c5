#!/bin/sh
# Makes the stack's secrets, each in a file. What is there already stays.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

[ -s secrets/driftline-token ] || random > secrets/driftline-token
[ -s secrets/grafana-password ] || random > secrets/grafana-password
# 32 bytes at least: what personal data is hashed with.
[ -s secrets/privacy-key ] || { random; random; } > secrets/privacy-key
# Put your Slack webhook's address here; with this one Alertmanager tells its log that nothing could be sent.
[ -s secrets/slack-url ] || printf 'http://127.0.0.1:9/no-slack-webhook-yet' > secrets/slack-url
printf 'proxy_set_header Authorization "Bearer %s";\n' "$(cat secrets/driftline-token)" > secrets/mirror-auth.conf

# The folder is closed. The files are not: each container mounts only its own, and runs as a user that is not you.
chmod 700 secrets
chmod 644 secrets/*
echo "secrets are in $(pwd)/secrets"
