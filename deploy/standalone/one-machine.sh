#!/usr/bin/env bash
# Has the whole cluster on this machine, below a directory, until it is interrupted:
#   one-machine.sh DIR
# It installs and runs by the same scripts as the machines of a real one.
set -euo pipefail
export ROOT=${1:?Say below which directory: one-machine.sh DIR}
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$HERE/install.sh" master worker hub
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
for role in master worker hub; do
  "$HERE/run.sh" "$role" &
done
# The first to end takes the others with it.
wait -n
