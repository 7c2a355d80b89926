# shellcheck shell=bash
# What the scripts beside this file have in common; it is read, not run.
# Everything is written below ROOT, which is empty on a machine of its own.
set -Eeuo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export ROOT=${ROOT:-}

fail() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 1
}

set -a
# shellcheck source=values.env
. "$HERE/values.env"
set +a
