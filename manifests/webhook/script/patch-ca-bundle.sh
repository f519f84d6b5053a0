#!/bin/sh
# Tells the API server to have group contents converted by the webhook, and which CA to trust when it asks: strategy,
# Service and CA bundle in one patch of the CRD, since a bundle is refused while the strategy is another. Where the check
# of default classes (../default-class-admission) is installed, it gets the CA as well. Needs kubectl.
#
# Run it when the webhook is ready: from then on group contents can be read only while it answers. To take it back:
# patch-ca-bundle.sh --off
set -eu

service=snapshot-conversion-webhook-service
namespace=default
secret=snapshot-conversion-webhook-secret
on=true
definition=volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io
admission=snapshot-default-class

usage() {
    cat <<TEXT
usage: patch-ca-bundle.sh [--service NAME] [--namespace NAME] [--secret NAME] [--off]
  --service    the Service of the webhook (default: $service)
  --namespace  where the Service and the Secret live (default: $namespace)
  --secret     the Secret with ca.crt, or else tls.crt (default: $secret)
  --off        have nothing converted any more; what v1beta1 does not know is lost on writes in it
TEXT
}

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --off)
        on=false
        shift
        ;;
    --service | --namespace | --secret)
        if [ $# -lt 2 ]; then
            usage >&2
            exit 2
        fi
        case $1 in
        --service) service=$2 ;;
        --namespace) namespace=$2 ;;
        --secret) secret=$2 ;;
        esac
        shift 2
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done

if [ "$on" = false ]; then
    exec kubectl patch customresourcedefinition "$definition" --type=merge \
        -p '{"spec":{"conversion":{"strategy":"None","webhook":null}}}'
fi

bundle=$(kubectl --namespace "$namespace" get secret "$secret" -o 'jsonpath={.data.ca\.crt}')
if [ -z "$bundle" ]; then
    # A certificate that vouches for itself comes without a CA.
    bundle=$(kubectl --namespace "$namespace" get secret "$secret" -o 'jsonpath={.data.tls\.crt}')
fi
if [ -z "$bundle" ]; then
    echo "patch-ca-bundle.sh: Secret $namespace/$secret has neither ca.crt nor tls.crt" >&2
    exit 1
fi

to="\"name\":\"$service\",\"namespace\":\"$namespace\",\"port\":443"
kubectl patch customresourcedefinition "$definition" --type=merge -p "{\"spec\":{\"conversion\":{
    \"strategy\":\"Webhook\",
    \"webhook\":{
        \"conversionReviewVersions\":[\"v1\"],
        \"clientConfig\":{\"service\":{$to,\"path\":\"/convert\"},\"caBundle\":\"$bundle\"}
    }}}}"

if [ -n "$(kubectl get validatingwebhookconfiguration "$admission" --ignore-not-found -o name)" ]; then
    kubectl patch validatingwebhookconfiguration "$admission" --type=json \
        -p "[{\"op\":\"add\",\"path\":\"/webhooks/0/clientConfig/caBundle\",\"value\":\"$bundle\"}]"
fi
