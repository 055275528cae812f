# The base is an argument, so that a build can pin a digest or take it from a mirror.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
# Wheels carry no build time; the compiled files below are told by content, so equal input gives equal bytes.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ONLY_BINARY=:all: PIP_REQUIRE_HASHES=1 \
    PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=315532800
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/clopos-exporter \
    && python -m pip --python /opt/clopos-exporter/bin/python install -r requirements.lock \
    && python -m venv --without-pip /opt/build \
    && python -m pip --python /opt/build/bin/python install -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN /opt/build/bin/python -m hatchling build -t wheel \
    && PIP_REQUIRE_HASHES=0 python -m pip --python /opt/clopos-exporter/bin/python install --no-index --no-deps --find-links dist clopos-exporter \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/clopos-exporter/lib

FROM ${PYTHON_IMAGE}
# Nothing that installs software is left for somebody who breaks in.
RUN python -c 'import ensurepip, pip, shutil; [shutil.rmtree(m.__path__[0]) for m in (ensurepip, pip)]' \
    && rm -rf /usr/local/bin/pip* /usr/bin/pip* /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 /var/lib/clopos-exporter
COPY --from=build /opt/clopos-exporter /opt/clopos-exporter
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="clopos-exporter" \
      org.opencontainers.image.description="Watch Clopos stations with Prometheus" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/clopos-exporter/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    CLOPOS_EXPORTER_REVISION=${REVISION} CLOPOS_EXPORTER_WEB_LISTEN_ADDRESS=:10110
USER 65532:65532
WORKDIR /var/lib/clopos-exporter
EXPOSE 10110
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["clopos-exporter", "healthcheck"]
ENTRYPOINT ["clopos-exporter"]
CMD ["serve"]
