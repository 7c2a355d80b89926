#!/usr/bin/env bash
# Initialization action of a Dataproc cluster: one Python for driver and executors on all nodes, and
# JupyterLab with a PySpark kernel on the master. It can be run again at any time.
set -Eeuo pipefail

# --- the five values to change --------------------------------------------------------------------

# The extension: a package's name with or without its version, or a wheel in a bucket (gs://…).
EXTENSION=${EXTENSION:-jupyterlab-pyspark-kernels}
# What notebooks and executors can import.
PACKAGES=${PACKAGES:-numpy pandas pyarrow scikit-learn google-cloud-storage}
# What the shared kernel asks for.
EXECUTOR_MEMORY=${EXECUTOR_MEMORY:-4g}
EXECUTOR_CORES=${EXECUTOR_CORES:-2}
# Keeps notebooks in this bucket, where they outlive the cluster; empty: on the master's disk.
NOTEBOOKS_BUCKET=${NOTEBOOKS_BUCKET:-}

# --- what can stay --------------------------------------------------------------------------------

JUPYTER_PORT=${JUPYTER_PORT:-8123}
# The image's Python 3, of which the two environments are made; one that is there is used as it is.
PYTHON=${PYTHON:-/opt/conda/default/bin/python}
SPARK_ENV=${SPARK_ENV:-/opt/pyspark-env}
JUPYTER_ENV=${JUPYTER_ENV:-/opt/jupyter}
# Where the image has its Spark and its Hadoop.
SPARK_HOME=${SPARK_HOME:-/usr/lib/spark}
HADOOP_CONF_DIR=${HADOOP_CONF_DIR:-/etc/hadoop/conf}
HDFS_SUPERUSER=${HDFS_SUPERUSER:-hdfs}
METADATA=${METADATA:-http://metadata.google.internal/computeMetadata/v1}
# Everything is written below it: empty, except to try this file elsewhere than on Dataproc.
ROOT=${ROOT:-}

umask 022
trap 'printf "init.sh: line %s failed: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

fail() {
  printf 'init.sh: %s\n' "$1" >&2
  exit 1
}

# attribute NAME — prints what the metadata server says of this node; it refuses without the header.
attribute() {
  curl --silent --show-error --fail --noproxy '*' --retry 3 --max-time 30 \
    --header 'Metadata-Flavor: Google' "$METADATA/instance/attributes/$1"
}

# setting FILE PREFIX TEXT — has one line in a file, in place of those that begin with the prefix.
setting() {
  local file=$ROOT$1 prefix=$2 text=$3 others
  mkdir -p "$(dirname "$file")"
  touch "$file"
  others=$(awk -v prefix="$prefix" 'index($0, prefix) != 1' "$file")
  printf '%s\n' ${others:+"$others"} "$text" >"$file"
}

# environment DIR MODULES PACKAGE... — makes a virtual environment with these packages, and again
# when others are asked for. One that was made otherwise is used as it is, if it has these modules.
environment() {
  local dir=$1 modules=$2 made=$1/packages.txt
  shift 2
  if ! "$dir/bin/python" -c "import $modules" 2>/dev/null ||
    [[ -e $made && $(<"$made") != "$*" ]]; then
    [[ -x $PYTHON ]] || fail "There is no $PYTHON. Set PYTHON to the Python 3 of the image."
    "$PYTHON" -m venv "$dir"
    "$dir/bin/pip" install --quiet "$@"
    printf '%s\n' "$*" >"$made"
  fi
}

# Hash randomization off: the same text has the same hash in the driver and in every executor.
install_python() {
  local -a packages
  local name value
  read -ra packages <<<"$PACKAGES"
  environment "$SPARK_ENV" ipykernel ipykernel "${packages[@]}"
  for name in "PYSPARK_PYTHON=$SPARK_ENV/bin/python" PYTHONHASHSEED=0; do
    setting /etc/environment "${name%%=*}=" "$name"
    setting /etc/spark/conf/spark-env.sh "export ${name%%=*}=" "export $name"
  done
  for name in spark.executorEnv spark.yarn.appMasterEnv; do
    setting /etc/spark/conf/spark-defaults.conf "$name.PYTHONHASHSEED" "$name.PYTHONHASHSEED 0"
  done
  value="spark.pyspark.python $SPARK_ENV/bin/python"
  setting /etc/spark/conf/spark-defaults.conf 'spark.pyspark.python' "$value"
}

install_jupyter() {
  local modules='jupyterlab, jupyterlab_pyspark_kernels' extension=$EXTENSION
  local -a packages=('jupyterlab>=4.6,<5')
  if [[ $extension == gs://* ]]; then
    gcloud storage cp "$extension" /tmp/
    extension=/tmp/${extension##*/}
  fi
  packages+=("$extension")
  if [[ -n $NOTEBOOKS_BUCKET ]]; then
    modules+=', gcsfs'
    packages+=('jupyterlab-pyspark-kernels[gs]')
  fi
  environment "$JUPYTER_ENV" "$modules" "${packages[@]}"
}

# The user of JupyterLab and of its notebooks, with a home in HDFS.
make_user() {
  if [[ -z $ROOT ]] && ! id -u jupyter >/dev/null 2>&1; then
    useradd --create-home --shell /bin/bash jupyter
  fi
  HADOOP_USER_NAME=$HDFS_SUPERUSER hdfs dfs -mkdir -p /user/jupyter
  HADOOP_USER_NAME=$HDFS_SUPERUSER hdfs dfs -chown jupyter /user/jupyter
  mkdir -p "$ROOT/home/jupyter/notebooks"
}

configure_jupyter() {
  local token=$ROOT/etc/jupyter/token
  mkdir -p "$ROOT/etc/jupyter"
  if [[ ! -s $token ]]; then
    (umask 077 && openssl rand -hex 32 >"$token")
  fi
  cat >"$ROOT/etc/jupyter/jupyter_lab_config.py" <<PYTHON
from pathlib import Path

c = get_config()
# Reached through an SSH tunnel only.
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = $JUPYTER_PORT
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.root_dir = "$ROOT/home/jupyter/notebooks"
c.IdentityProvider.token = Path("$token").read_text().strip()
c.PySparkKernels.environment_roots = ["$SPARK_ENV"]
PYTHON
  if [[ -n $NOTEBOOKS_BUCKET ]]; then
    cat >>"$ROOT/etc/jupyter/jupyter_lab_config.py" <<PYTHON
c.ServerApp.contents_manager_class = "jupyterlab_pyspark_kernels.bucket.BucketContents"
c.BucketContents.url = "gs://${NOTEBOOKS_BUCKET#gs://}/notebooks"
PYTHON
  fi
  if [[ -z $ROOT ]]; then
    chown jupyter: "$token" /home/jupyter/notebooks
  fi
}

# Writes the kernel that every notebook on this master can have, anew each time.
make_kernel() {
  local kernels=$ROOT/usr/local/share/jupyter/kernels
  local -a ours=("$JUPYTER_ENV/bin/jupyter-pyspark-kernels")
  mkdir -p "$kernels"
  if [[ -d $kernels/pyspark ]]; then
    "${ours[@]}" remove -d "$kernels" pyspark >/dev/null
  fi
  "${ours[@]}" create -d "$kernels" --name pyspark --display-name 'PySpark on YARN' \
    --environment "$SPARK_ENV" --master yarn --spark-home "$ROOT$SPARK_HOME" \
    --executor-memory "$EXECUTOR_MEMORY" --executor-cores "$EXECUTOR_CORES" \
    --env "HADOOP_CONF_DIR=$ROOT$HADOOP_CONF_DIR" \
    --idle-release-minutes 15 --idle-stop-minutes 120
}

make_unit() {
  mkdir -p "$ROOT/etc/systemd/system"
  cat >"$ROOT/etc/systemd/system/jupyter.service" <<UNIT
[Unit]
Description=JupyterLab with PySpark kernels
Wants=hadoop-yarn-resourcemanager.service
After=network-online.target hadoop-yarn-resourcemanager.service
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
User=jupyter
WorkingDirectory=$ROOT/home/jupyter
EnvironmentFile=$ROOT/etc/environment
Environment=JUPYTER_PATH=$ROOT/usr/local/share/jupyter
# With a configuration that cannot be read, Jupyter would go on with notebooks on the local disk.
Environment=TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR=1
ExecStart=$JUPYTER_ENV/bin/jupyter-lab --config=$ROOT/etc/jupyter/jupyter_lab_config.py
Restart=on-failure
RestartSec=5
StandardOutput=journal
StandardError=journal
NoNewPrivileges=true
PrivateTmp=true

[Install]
WantedBy=multi-user.target
UNIT
  if [[ -z $ROOT ]]; then
    systemctl daemon-reload
    systemctl enable --quiet jupyter
    systemctl restart jupyter
  fi
}

for found in "$ROOT$SPARK_HOME/bin/spark-submit" "$ROOT$HADOOP_CONF_DIR/yarn-site.xml"; do
  [[ -e $found ]] || fail "There is no $found. This file is for the nodes of a Dataproc cluster."
done
role=$(attribute dataproc-role) || fail "$METADATA does not tell whether this is a master."

case $role in
  Master)
    install_python
    install_jupyter
    make_user
    configure_jupyter
    make_kernel
    make_unit
    ;;
  Worker) install_python ;;
  *) fail "The metadata server says that this node is a '$role', and neither Master nor Worker." ;;
esac
