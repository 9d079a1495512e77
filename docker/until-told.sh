#!/bin/sh
# until-told.sh FILE COMMAND...: run COMMAND until it ends, or until FILE appears; then kill it.
#
# For compose, where nothing restarts an unhealthy container. A Triton whose Python stub has died
# takes its whole exit timeout on SIGTERM, hence SIGKILL; the restart policy starts a new one, which
# takes FILE away. In Kubernetes the liveness probe looks for FILE instead.
set -eu

file=$1
shift

# on SIGTERM Triton finishes what it has in hand; what comes before it has begun waits for it
child=
asked=no
trap 'asked=yes; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true' TERM INT

"$@" &
child=$!
[ "$asked" = no ] || kill -TERM "$child" 2>/dev/null || true

while kill -0 "$child" 2>/dev/null; do
  if [ "$asked" = no ] && [ -e "$file" ]; then
    # the command takes an old FILE away as it begins, which needs a moment
    sleep "${GRACE_SECONDS:-10}"
    if [ -e "$file" ]; then
      echo "until-told: $file is there; killing process $child" >&2
      kill -KILL "$child"
    fi
  fi
  sleep 1 &
  wait $! || true # a trap interrupts wait, not sleep
done

status=0
wait "$child" || status=$?
exit "$status"
