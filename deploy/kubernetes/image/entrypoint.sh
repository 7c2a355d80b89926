#!/usr/bin/env bash
# One image for both: Spark starts its pods with the argument "executor", the hub with its own command.
set -Eeuo pipefail

if [[ "${1:-}" != executor ]]; then
    exec "$@"
fi

python="$PYSPARK_ENVIRONMENT/bin/python"
SPARK_HOME="$("$python" -c 'import pyspark; print(pyspark.__path__[0])')"
export SPARK_HOME

# SPARK_JAVA_OPT_0, SPARK_JAVA_OPT_1, …: the Java options of this executor, one in each.
java_options=()
for ((number = 0; ; number++)); do
    name="SPARK_JAVA_OPT_$number"
    [[ -n "${!name+set}" ]] || break
    java_options+=("${!name}")
done

java="${JAVA_HOME:+"$JAVA_HOME/bin/"}java"
exec "$java" "${java_options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
    -classpath "$SPARK_HOME/jars/*${SPARK_CLASSPATH:+":$SPARK_CLASSPATH"}" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" \
    --executor-id "$SPARK_EXECUTOR_ID" \
    --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" \
    --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
    --podName "$SPARK_EXECUTOR_POD_NAME"
