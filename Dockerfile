# syntax=docker/dockerfile:1
# Two images: `docker build -t aestream .` for the worker and every command that does not train, and with torch, for the
# trainer, `docker build --target trainer -t aestream-trainer .`.
# docs/operations.md explains how to pin the base by its digest and how to get torch from elsewhere.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/aestream
ENV PATH=/opt/aestream/bin:$PATH
COPY constraints.txt ./

FROM venv AS speedups
# The decoder in C as a wheel: no compiler gets into an image, so the newest one of the base will do.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY speedups ./speedups
RUN pip wheel --no-cache-dir --wheel-dir /wheels ./speedups

FROM venv AS build-trainer
# torch is installed first and alone, from its own index: the wheel there does not include CUDA, which would add 4 GB
# that a CPU never uses. Its dependencies are installed below with everything else. Empty means pip's default index.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --no-deps ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} \
        --constraint constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY aestream ./aestream
COPY --from=speedups /wheels /wheels
RUN pip install --no-cache-dir --constraint constraints.txt '.[train,confluent]' /wheels/*

FROM venv AS build
COPY pyproject.toml README.md LICENSE ./
COPY aestream ./aestream
COPY --from=speedups /wheels /wheels
RUN pip install --no-cache-dir --constraint constraints.txt '.[confluent]' /wheels/*

FROM ${BASE_IMAGE} AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="aestream" \
      org.opencontainers.image.description="Streaming anomaly detection with autoencoders: Kafka in, scores out" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Numeric ids let Kubernetes see that the user is not root. A volume mounted over the model store gets its owner from
# the folder created here.
RUN groupadd --gid 10001 aestream \
    && useradd --no-log-init --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/aestream \
        --shell /usr/sbin/nologin aestream \
    && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/aestream /var/lib/aestream/models
# Only the container's own network can reach the port, so the service may listen on all addresses.
ENV PATH=/opt/aestream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AESTREAM_HTTP__HOST=0.0.0.0 \
    AESTREAM_MODEL__STORE=/var/lib/aestream/models \
    AESTREAM_LOG__FORMAT=json
WORKDIR /var/lib/aestream
USER 10001:10001
EXPOSE 9108
STOPSIGNAL SIGTERM
# No HEALTHCHECK: one-off commands such as `train` do not serve HTTP. Compose and Kubernetes have their own probes.
ENTRYPOINT ["aestream"]

FROM base AS trainer
COPY --from=build-trainer /opt/aestream /opt/aestream
CMD ["trainer"]

FROM base AS worker
COPY --from=build /opt/aestream /opt/aestream
CMD ["worker"]
