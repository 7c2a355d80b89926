#!/usr/bin/env bash
# Becomes one role of the cluster, in the foreground: master, worker or hub. The units start it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Becomes one of Spark's daemons, of the PySpark that notebooks and executors use.
spark() {
  local -a found=("$SPARK_ENV"/lib/python3*/site-packages/pyspark)
  [[ -x ${found[0]}/bin/spark-class ]] ||
    fail "There is no PySpark in $SPARK_ENV. Run install.sh, or set SPARK_ENV in values.env."
  export SPARK_HOME=${found[0]}
  exec "$SPARK_HOME/bin/spark-class" "org.apache.spark.deploy.$1" "${@:2}"
}

# Prints the address of this machine by which it reaches the master: no interface has to be named.
own_address() {
  "$SPARK_ENV/bin/python" - "$MASTER_HOST" <<'PYTHON'
import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.connect((sys.argv[1], 9))
    print(probe.getsockname()[0])
PYTHON
}

case ${1:-} in
  master)
    # For who says nothing: one notebook must not take all cores.
    export SPARK_MASTER_OPTS="-Dspark.deploy.defaultCores=$NOTEBOOK_CORES"
    spark master.Master --host "$MASTER_HOST" --port "$SPARK_PORT" --webui-port "$SPARK_WEB_PORT"
    ;;
  worker)
    export SPARK_WORKER_OPTS='-Dspark.worker.cleanup.enabled=true'
    address=$(own_address) || fail "$MASTER_HOST cannot be reached. Correct MASTER_HOST in values.env."
    spark worker.Worker "spark://$MASTER_HOST:$SPARK_PORT" --host "$address" \
      --webui-port "$WORKER_WEB_PORT" --work-dir "$ROOT/var/lib/spark" \
      ${WORKER_CORES:+--cores "$WORKER_CORES"} ${WORKER_MEMORY:+--memory "$WORKER_MEMORY"}
    ;;
  hub)
    cd "$ROOT/srv/jupyterhub"
    exec "$JUPYTER_ENV/bin/jupyterhub" --config "$ROOT/etc/jupyterhub/jupyterhub_config.py"
    ;;
  *) fail "'${1:-}' is no role. Say master, worker or hub." ;;
esac
