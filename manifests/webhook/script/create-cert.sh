#!/bin/sh
# Makes a private CA and a certificate for the webhook's Service, and stores them as a TLS Secret: tls.crt, tls.key,
# and ca.crt for patch-ca-bundle.sh. The CA's key is thrown away. Needs openssl and kubectl.
#
# Run again, it replaces the certificate; the CA before stays in ca.crt beside the new one, so that what is served until
# the pods have the new certificate (about a minute) is still trusted. Run patch-ca-bundle.sh right after it.
set -eu

service=snapshot-conversion-webhook-service
namespace=default
secret=snapshot-conversion-webhook-secret
days=365

usage() {
    cat <<TEXT
usage: create-cert.sh [--service NAME] [--namespace NAME] [--secret NAME] [--days NUMBER]
  --service    the Service of the webhook (default: $service)
  --namespace  where the Service and the Secret live (default: $namespace)
  --secret     the Secret to make or replace (default: $secret)
  --days       how long the certificate is valid (default: $days)
TEXT
}

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --service | --namespace | --secret | --days)
        if [ $# -lt 2 ]; then
            usage >&2
            exit 2
        fi
        case $1 in
        --service) service=$2 ;;
        --namespace) namespace=$2 ;;
        --secret) secret=$2 ;;
        --days) days=$2 ;;
        esac
        shift 2
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done

for tool in openssl kubectl; do
    command -v "$tool" >/dev/null || {
        echo "create-cert.sh: $tool is needed" >&2
        exit 1
    }
done

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What openssl has to say is shown only when it fails.
quietly() {
    "$@" 2>"$work/said" || {
        cat "$work/said" >&2
        exit 1
    }
}

cat >"$work/request" <<TEXT
[req]
distinguished_name = name
prompt = no
[name]
CN = snapshot-conversion-webhook
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:$service.$namespace.svc, DNS:$service.$namespace
TEXT

# The CA's name is new each time: two of one name in a bundle would be taken for each other. The name of the Service is
# not in it, as a name has room for 64 characters.
quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days "$days" \
    -config "$work/request" -extensions ca -subj "/CN=snapshot-conversion-webhook-ca-$(openssl rand -hex 8)" \
    -keyout "$work/ca.key" -out "$work/ca.crt"
quietly openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -config "$work/request" \
    -keyout "$work/tls.key" -out "$work/tls.csr"
quietly openssl x509 -req -sha256 -days "$days" -in "$work/tls.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" \
    -set_serial "0x$(openssl rand -hex 16)" -extfile "$work/request" -extensions server -out "$work/tls.crt"

old=$(kubectl --namespace "$namespace" get secret "$secret" --ignore-not-found -o 'jsonpath={.data.ca\.crt}')
if [ -n "$old" ]; then
    # The first of the bundle is the latest.
    printf %s "$old" | openssl base64 -d -A >"$work/ca.old"
    quietly openssl x509 -in "$work/ca.old" >>"$work/ca.crt"
fi

encoded() {
    openssl base64 -A -in "$work/$1"
}

kubectl apply --server-side --force-conflicts --field-manager=create-cert -f - <<TEXT
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata:
  name: $secret
  namespace: $namespace
data:
  tls.crt: $(encoded tls.crt)
  tls.key: $(encoded tls.key)
  ca.crt: $(encoded ca.crt)
TEXT
