#!/usr/bin/env bash
# Prints the cloud-init user-data of a machine, with values.env and all that it needs inside:
#   user-data.sh master >master.yaml      (the master's machine has the hub too)
#   user-data.sh worker >worker.yaml      (the same for every worker)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(openjdk-17-jre-headless python3-venv ufw)
case ${1:-} in
  master)
    packages+=(npm)
    roles=(master hub)
    ;;
  worker) roles=(worker) ;;
  *) fail "'${1:-}' is no role. Say master or worker." ;;
esac

cat <<YAML
#cloud-config
# The machine's own name resolves, which Spark needs.
manage_etc_hosts: true
package_update: true
packages:
$(printf '  - %s\n' "${packages[@]}")
write_files:
YAML

(cd "$HERE" && find . -type f ! -name '*.md' | LC_ALL=C sort) | while read -r file; do
  cat <<YAML
  - path: /opt/pyspark-deploy/${file#./}
    permissions: '0$(stat --format=%a "$HERE/$file")'
    encoding: gz+b64
    content: $(gzip --no-name --best --stdout "$HERE/$file" | base64 --wrap=0)
YAML
done

cat <<YAML
runcmd:
  - [ufw, allow, OpenSSH]
  - [ufw, allow, from, '$LOCAL_NETWORK']
YAML
if [[ $1 == master && -n $TLS_CERT ]]; then
  printf "  - [ufw, allow, '%s/tcp']\n" "$HUB_PORT"
fi
cat <<YAML
  - [ufw, --force, enable]
  - [/opt/pyspark-deploy/install.sh, $(IFS=, && printf '%s' "${roles[*]}")]
YAML
