# The image of flashback-exporter. It runs without root, writes no files, and needs no shell.
# The base image by tag. Releases pin its digest (BASE_DIGEST=sha256:…).
ARG BASE_IMAGE=docker.io/library/python:3.13-slim
ARG BASE_DIGEST=
# Shown by `--version` and flashback_exporter_build_info.
ARG VERSION=0.1.0
ARG REVISION=unknown

FROM ${BASE_IMAGE}${BASE_DIGEST:+@${BASE_DIGEST}} AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_ONLY_BINARY=:all:
WORKDIR /src
RUN python -m venv --without-pip /opt/flashback-exporter \
 && python -m venv --without-pip /opt/build
# Libraries, checked by hash. They come before the program, which changes more often.
COPY requirements.txt deploy/image/requirements-build.txt ./
RUN python -m pip --python /opt/flashback-exporter/bin/python \
      install --require-hashes --requirement requirements.txt \
 && python -m pip --python /opt/build/bin/python \
      install --require-hashes --requirement requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
COPY deploy/image/healthcheck.py /opt/flashback-exporter/
ARG VERSION
ARG REVISION
RUN sed -i "s/^version = .*/version = \"$VERSION\"/" pyproject.toml \
 && printf '%s\n' "$REVISION" >exporter/REVISION \
 && /opt/build/bin/hatchling build --target wheel --directory /dist \
 && python -m pip --python /opt/flashback-exporter/bin/python install --no-index --no-deps /dist/*.whl

FROM ${BASE_IMAGE}${BASE_DIGEST:+@${BASE_DIGEST}}
ARG BASE_IMAGE
ARG BASE_DIGEST
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="flashback-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the node statistics of Flashback storage buckets" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}"
COPY --from=build /opt/flashback-exporter /opt/flashback-exporter
# The default listen address of `run`. `demo` would listen only on the container's loopback.
ENV PATH="/opt/flashback-exporter/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FLASHBACK_EXPORTER_CONFIG_FILE=/etc/flashback-exporter/config.yaml \
    FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS=:10120
# A number, so that Kubernetes can check that it is not root.
USER 65532:65532
WORKDIR /etc/flashback-exporter
EXPOSE 10120
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["python", "-I", "-S", "/opt/flashback-exporter/healthcheck.py"]
ENTRYPOINT ["flashback-exporter"]
