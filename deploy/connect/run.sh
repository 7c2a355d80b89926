#!/usr/bin/env bash
# Becomes the Spark Connect server, in the foreground. The unit starts it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

found=("$SPARK_ENV"/lib/python3*/site-packages/pyspark)
export SPARK_HOME=${found[0]}
[[ -r $SPARK_HOME/sbin/start-connect-server.sh ]] ||
  fail "There is no Spark Connect server in $SPARK_ENV. Run install.sh, or set SPARK_ENV in values.env."

# systemd's copy, which only this unit can read; a variable, as arguments are shown to everybody.
file=${CREDENTIALS_DIRECTORY:+$CREDENTIALS_DIRECTORY/token}
file=${file:-$ROOT$TOKEN_FILE}
[[ -s $file && -r $file ]] || fail "There is no token in $file. Run install.sh."
SPARK_CONNECT_AUTHENTICATE_TOKEN=$(<"$file")
export SPARK_CONNECT_AUTHENTICATE_TOKEN
export PYSPARK_PYTHON=$SPARK_ENV/bin/python
export SPARK_LOG_DIR=$ROOT/var/log/spark-connect SPARK_PID_DIR=$ROOT/run/spark-connect
# Spark's pages ask nobody for a token. Executors elsewhere, though, have to reach the driver.
if [[ $MASTER == local* ]]; then
  export SPARK_LOCAL_IP=127.0.0.1
fi
cd "$ROOT/var/lib/spark-connect"

# Through bash: the PySpark of pip leaves the script without the right to be run.
exec bash "$SPARK_HOME/sbin/start-connect-server.sh" --wait --master "$MASTER" \
  --driver-memory "$DRIVER_MEMORY" \
  --conf spark.connect.grpc.binding.address=127.0.0.1 \
  --conf "spark.connect.grpc.binding.port=$CONNECT_PORT" \
  --conf spark.connect.grpc.port.maxRetries=0 \
  --conf "spark.ui.port=$UI_PORT"
