#!/usr/bin/env bash
# Makes this machine one or more of: master, worker, hub. Run it again after values.env has changed.
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
  environment "$SPARK_ENV" 'pyspark, ipykernel' "${packages[@]}"
  mkdir -p "$ROOT/var/lib/spark"
  if [[ -z $ROOT ]]; then
    id -u spark >/dev/null 2>&1 || useradd --system --home-dir /var/lib/spark spark
    chown spark: /var/lib/spark
  fi
}

install_hub() {
  local user
  environment "$JUPYTER_ENV" 'jupyterhub, jupyterlab, jupyterlab_pyspark_kernels' \
    'jupyterhub>=5.5,<6' 'jupyterlab>=4.6,<5' "$EXTENSION"
  if [[ ! -x $HUB_PROXY ]]; then
    need npm npm
    # The newest that runs on the Node.js of Debian 12 and Ubuntu 24.04.
    npm install --global --silent --prefix "$JUPYTER_ENV" configurable-http-proxy@^4.6
  fi
  install -d -m 700 "$ROOT/srv/jupyterhub"
  place jupyterhub_config.py /etc/jupyterhub/jupyterhub_config.py
  place jupyter_server_config.json.in /etc/jupyter/jupyter_server_config.json
  place templates/cluster.yaml.in /etc/pyspark-kernels/templates/cluster.yaml
  place templates/team.yaml.in /etc/pyspark-kernels/templates/team.yaml
  share_kernel
  if [[ -z $ROOT ]]; then
    for user in $HUB_USERS; do
      id -u "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user"
    done
  fi
}

# Writes the kernel that all users have in common, anew each time.
share_kernel() {
  local kernels=$ROOT/usr/local/share/jupyter/kernels told
  local -a ours=("$JUPYTER_ENV/bin/jupyter-pyspark-kernels")
  export JUPYTER_CONFIG_PATH=$ROOT/etc/jupyter
  told=$("${ours[@]}" policy test "$ROOT/etc/pyspark-kernels/templates/team.yaml" 2>&1) ||
    fail "values.env makes no template that can be used: $told"
  mkdir -p "$kernels"
  if [[ -d $kernels/pyspark ]]; then
    "${ours[@]}" remove -d "$kernels" pyspark >/dev/null
  fi
  "${ours[@]}" create -d "$kernels" --name pyspark --display-name PySpark --template team
}

start() {
  place "systemd/$1.service.in" "/etc/systemd/system/$1.service"
  if [[ -z $ROOT ]]; then
    systemctl daemon-reload
    systemctl enable --quiet "$1"
    systemctl restart "$1"
  fi
}

[[ $# -gt 0 ]] || fail 'Say which roles: install.sh master hub, or install.sh worker.'
for role in "$@"; do
  case $role in
    master | worker)
      install_spark
      start "spark-$role"
      ;;
    hub)
      install_spark
      install_hub
      start jupyterhub
      ;;
    *) fail "'$role' is no role. Say master, worker or hub." ;;
  esac
done
