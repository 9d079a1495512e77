#!/bin/sh
# edge-site.sh HOST [NAMESPACE]: print what an edge site needs before the chart, with new secrets.
#
#   sh edge-site.sh ct.hospital.example | sudo k3s kubectl create -f -
#
# A namespace that refuses unrestricted pods, the secrets that values-edge.yaml names, a certificate
# that HOST signs itself for two years, and the time-outs of k3s' Traefik. `create`, not `apply`:
# what is there already stays, since a second password would lock the database out.
set -eu
umask 077

host=${1:?usage: edge-site.sh HOST [NAMESPACE]}
namespace=${2:-onescan}
case $host in *[!a-zA-Z0-9.-]*) echo "edge-site.sh: $host is no host name" >&2; exit 2 ;; esac
case $namespace in *[!a-z0-9-]*) echo "edge-site.sh: $namespace is no namespace" >&2; exit 2 ;; esac

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 730 \
  -subj "/CN=$host" -addext "subjectAltName=DNS:$host" \
  -keyout "$folder/tls.key" -out "$folder/tls.crt" 2>"$folder/errors" || {
  cat "$folder/errors" >&2
  exit 1
}

random() { openssl rand -hex 32; }
base64_of() { openssl base64 -A -in "$1"; }
password=$(random)

cat <<EOF
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels:
    pod-security.kubernetes.io/enforce: restricted
---
apiVersion: v1
kind: Secret
metadata:
  name: onescan-database
  namespace: $namespace
stringData:
  password: $password
  url: postgresql://onescan:$password@onescan-postgresql:5432/onescan
---
apiVersion: v1
kind: Secret
metadata:
  name: onescan-keys
  namespace: $namespace
stringData:
  api-key: osk_$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=')
  webhook-key: $(random)
  log-key: $(random)
---
apiVersion: v1
kind: Secret
metadata:
  name: onescan-tls
  namespace: $namespace
type: kubernetes.io/tls
data:
  tls.crt: $(base64_of "$folder/tls.crt")
  tls.key: $(base64_of "$folder/tls.key")
---
# Traefik cuts a request after 60 s by default, body included.
apiVersion: helm.cattle.io/v1
kind: HelmChartConfig
metadata:
  name: traefik
  namespace: kube-system
spec:
  valuesContent: |-
    ports:
      websecure:
        transport:
          respondingTimeouts:
            readTimeout: 3900
            writeTimeout: 0
            idleTimeout: 180
EOF
