# The commands of this project as images. Build one of the targets
#
#   csi-snapshotter, ...   an image for each command, whose ENTRYPOINT it is: the arguments are upstream's
#   snapshotter            the tool: demo and playground
#   all                    (the default) every command and no ENTRYPOINT: name one, as in `docker run IMAGE /csi-snapshotter`
#   sbom                   no image: the bills of materials as files, with --output
#
# docs/image.md says how, and how to pin the base to a digest. The wheels are for glibc, hence no Alpine.
ARG PYTHON_IMAGE=python:3.11-slim-trixie

FROM ${PYTHON_IMAGE} AS builder
ENV TOOLS=/tools WHEELS=/wheels TREE=/opt/snapshotter LINKS=/links
WORKDIR /source
COPY image/ image/
RUN image/build.sh tools

FROM builder AS wheel
COPY LICENSE README.md pyproject.toml ./
COPY csi_proto/ csi_proto/
COPY manifests/ manifests/
COPY snapshotter/ snapshotter/
RUN image/build.sh wheel

FROM builder AS daemons-tree
RUN image/build.sh libraries daemons
COPY --from=wheel /wheels/ /wheels/
COPY pyproject.toml ./
RUN image/build.sh program

FROM builder AS playground-tree
RUN image/build.sh libraries playground
COPY --from=wheel /wheels/ /wheels/
COPY pyproject.toml ./
RUN image/build.sh program

FROM scratch AS sbom
COPY --from=daemons-tree /opt/snapshotter/sbom.cdx.json /daemons.cdx.json
COPY --from=playground-tree /opt/snapshotter/sbom.cdx.json /playground.cdx.json

FROM ${PYTHON_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="snapshotter" \
      org.opencontainers.image.description="Kubernetes volume snapshots and volume group snapshots" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# What installs software is not needed any more; the trees have none either.
RUN ["python", "-m", "pip", "uninstall", "--yes", "--root-user-action=ignore", "pip", "setuptools", "wheel"]
# The file system may be read-only; what is there is compiled. The client library of Kubernetes asks for a HOME as it
# is loaded, and the user has none of its own; the playground writes below it.
ENV HOME=/tmp PATH=/opt/snapshotter/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1 PYTHONUNBUFFERED=1
USER 65532:65532

FROM runtime AS daemon
COPY --from=daemons-tree /opt/snapshotter/ /opt/snapshotter/
COPY --from=daemons-tree /links/ /

FROM daemon AS csi-snapshotter
ENTRYPOINT ["/csi-snapshotter"]

FROM daemon AS snapshot-controller
ENTRYPOINT ["/snapshot-controller"]

FROM daemon AS snapshot-conversion-webhook
ENTRYPOINT ["/snapshot-conversion-webhook"]

FROM runtime AS playground
COPY --from=playground-tree /opt/snapshotter/ /opt/snapshotter/
COPY --from=playground-tree /links/ /

FROM playground AS snapshotter
ENTRYPOINT ["/snapshotter"]

FROM playground AS all
CMD ["/snapshotter", "--help"]
