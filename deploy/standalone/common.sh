# shellcheck shell=bash
# What the scripts beside this file have in common; it is read, not run.
# Everything is written below ROOT, which is empty except where a whole cluster is on one machine.
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

if [[ -n $TLS_CERT && -z $TLS_KEY || -z $TLS_CERT && -n $TLS_KEY ]]; then
  fail "Only one of TLS_CERT and TLS_KEY is set. Set both in values.env, or none."
fi
