#!/usr/bin/env bash
# Makes this machine the Spark Connect server. Run it again after values.env has changed.
# With ROOT set it writes below that directory, and leaves the machine's users and units alone.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
umask 022
trap 'printf "install.sh: line %s failed: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

need() {
  command -v "$1" >/dev/null || fail "There is no $1. Install it: apt-get install $2"
}

# environment DIR MODULES PACKAGE... — makes a virtual environment with these packages, and again
# when others are asked for. One that was made otherwise is used as it is, if it has these modules.
environment() {
  local dir=$1 modules=$2 made=$1/packages.txt
  shift 2
  if ! "$dir/bin/python" -c "import $modules" 2>/dev/null ||
    [[ -e $made && $(<"$made") != "$*" ]]; then
    python3 -m venv "$dir"
    "$dir/bin/pip" install --quiet "$@"
    printf '%s\n' "$*" >"$made"
  fi
}

# place FILE TARGET — writes a file, with the values in place of each @NAME@.
place() {
  local text name
  text=$(<"$HERE/$1")
  while [[ $text =~ @([A-Z_]+)@ ]]; do
    name=${BASH_REMATCH[1]}
    text=${text//"@$name@"/"${!name?}"}
  done
  mkdir -p "$(dirname "$ROOT$2")"
  printf '%s\n' "$text" >"$ROOT$2"
}

install_spark() {
  local -a packages
  need java openjdk-17-jre-headless
  need python3 python3-venv
  read -ra packages <<<"$SPARK_PACKAGES"
  environment "$SPARK_ENV" pyspark "${packages[@]}"
  mkdir -p "$ROOT/var/lib/spark-connect" "$ROOT/var/log/spark-connect" "$ROOT/run/spark-connect"
}

# A token that nobody has thought of; one that is there stays.
make_token() {
  if [[ ! -s $ROOT$TOKEN_FILE ]]; then
    mkdir -p "$(dirname "$ROOT$TOKEN_FILE")"
    (umask 077 && head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n' >"$ROOT$TOKEN_FILE")
  fi
  chmod 600 "$ROOT$TOKEN_FILE"
}

install_spark
make_token
place nginx.conf.in /etc/nginx/conf.d/spark-connect.conf
place spark-connect.service.in /etc/systemd/system/spark-connect.service
# For the machines of the notebooks.
place templates/connect.yaml.in /etc/pyspark-kernels/templates/connect.yaml
place templates/thin.yaml.in /etc/pyspark-kernels/templates/thin.yaml

if [[ -z $ROOT ]]; then
  need nginx nginx
  [[ -r $TLS_CERT && -r $TLS_KEY ]] ||
    fail "There is no certificate at $TLS_CERT with its key at $TLS_KEY. Put them there."
  id -u spark-connect >/dev/null 2>&1 ||
    useradd --system --home-dir /var/lib/spark-connect spark-connect
  chown -R spark-connect: /var/lib/spark-connect /var/log/spark-connect
  nginx -t -q
  systemctl daemon-reload
  systemctl enable --quiet spark-connect nginx
  systemctl restart spark-connect
  systemctl reload-or-restart nginx
fi
