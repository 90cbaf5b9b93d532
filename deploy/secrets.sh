#!/usr/bin/env bash
# Makes what docker-compose.yml reads from secrets/, once: what is there already stays as it is.
# Copy secrets/encryption_key to a safe place: without it nothing that is sealed can be read, no backup either.
set -euo pipefail
cd "${1:-secrets}" 2>/dev/null || { mkdir -m 0700 "${1:-secrets}"; cd "${1:-secrets}"; }
chmod 0700 .
# Containers run as users of their own and are given these files as they are: they must be able to read them.
# Who else is on this machine does not get past the folder.
umask 022

make_secret() { # name, content
    [[ -e $1 ]] || printf '%s\n' "$2" > "$1"
}

make_secret database_password "$(openssl rand -hex 24)"
make_secret redis_password "$(openssl rand -hex 24)"
make_secret grafana_password "$(openssl rand -hex 24)"
make_secret encryption_key "$(openssl rand -base64 32)"
make_secret database_url "postgresql://cohort:$(<database_password)@database:5432/cohort"
make_secret redis_url "redis://:$(<redis_password)@redis:6379/0"
