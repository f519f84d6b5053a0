"""What tells a client where an API server is and who the client is there."""

import base64

import yaml


def kubeconfig(url: str, *, authority: str = "", token: str = "") -> str:
    """The YAML text of a kubeconfig. `authority`: the PEM text of the certificate that vouches for the server."""
    cluster = {"server": url}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "standin",
            "clusters": [{"name": "standin", "cluster": cluster}],
            "users": [{"name": "standin", "user": {"token": token} if token else {}}],
            "contexts": [
                {
                    "name": "standin",
                    "context": {"cluster": "standin", "user": "standin", "namespace": "default"},
                }
            ],
        },
        sort_keys=False,
    )
