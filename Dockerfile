# Three images from one file. Each installs through deploy/steps/install.sh at the versions of
# constraints.txt.
#   docker build --target guard      server on CPU: onnxruntime without torch and onnx (the default)
#   docker build --target guard-gpu  server on CUDA
#   docker build --target offline    builds stores: torch, onnx and Ray. For the much smaller CPU build of torch, name
#                                    the index that has it: --build-arg PIP_EXTRA_INDEX_URL=...
# The cache mounts (BuildKit) keep downloads between builds and out of the images.

# The interpreter that constraints.txt was tested on.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# CUDA base of the GPU image: onnxruntime-gpu is linked against CUDA 13 and cuDNN 9 and finds them
# through the system's loader. A host needs a driver for CUDA 13 and the NVIDIA container toolkit.
ARG CUDA_IMAGE=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04

FROM scratch AS source
COPY pyproject.toml constraints.txt README.md LICENSE /
COPY deploy/steps /deploy/steps
COPY mutant_guard /mutant_guard
COPY mutant_store /mutant_store
COPY service /service
# Code that trains the demo classifier and attacks it; it is not part of what is installed.
COPY evaluation /evaluation

# The store to serve is a setting and no option of CMD, which would outweigh GUARD_STORE. OpenBLAS,
# in numpy and in scipy, would start a thread for each of the host's processors whatever the quota:
# on a large host, more than the limit of processes allows.
FROM ${PYTHON_IMAGE} AS python
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    GUARD_STORE=/stores/digits GUARD_ORDER_KEY_FILE=/var/lib/mutant-guard/order.key GUARD_PROBE_PORT=9000 \
    ORT_DISABLE_TELEMETRY=1 OPENBLAS_NUM_THREADS=1
RUN groupadd --gid 10001 guard \
    && useradd --uid 10001 --gid guard --home-dir /var/lib/mutant-guard --shell /usr/sbin/nologin guard \
    && install -d -o guard -g guard /models /stores \
    && install -d -o guard -g guard -m 0700 /var/lib/mutant-guard

FROM ${CUDA_IMAGE} AS cuda
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    GUARD_STORE=/stores/digits GUARD_ORDER_KEY_FILE=/var/lib/mutant-guard/order.key GUARD_PROBE_PORT=9000 \
    ORT_DISABLE_TELEMETRY=1 OPENBLAS_NUM_THREADS=1
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 guard \
    && useradd --uid 10001 --gid guard --home-dir /var/lib/mutant-guard --shell /usr/sbin/nologin guard \
    && install -d -o guard -g guard /stores \
    && install -d -o guard -g guard -m 0700 /var/lib/mutant-guard

FROM python AS guard-build
WORKDIR /src
COPY --from=source / .
RUN --mount=type=cache,target=/root/.cache/pip deploy/steps/install.sh /opt/venv cpu,server

FROM cuda AS guard-gpu-build
WORKDIR /src
COPY --from=source / .
RUN --mount=type=cache,target=/root/.cache/pip deploy/steps/install.sh /opt/venv gpu,server

FROM python AS offline-build
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
COPY --from=source / .
RUN --mount=type=cache,target=/root/.cache/pip deploy/steps/install.sh /opt/venv cpu,build,retrain,ray

FROM python AS offline
LABEL org.opencontainers.image.title="mutant-guard-offline" \
      org.opencontainers.image.description="Builds and calibrates mutant stores"
COPY --from=offline-build /opt/venv /opt/venv
COPY --from=source /evaluation /opt/demo/evaluation
# Modes are set whatever the umask of the checkout, since another user runs these scripts.
COPY --chmod=0755 deploy/steps/demo-store.sh deploy/steps/mnist-store.sh /usr/local/bin/
# KubeRay starts Ray from a login shell, which looks for programs here.
COPY --from=offline-build /opt/venv/bin/ray /usr/local/bin/ray
ENV BIN=/opt/venv/bin MODELS=/models STORES=/stores PYTHONPATH=/opt/demo
USER 10001:10001
WORKDIR /var/lib/mutant-guard
ENTRYPOINT ["mutant-store"]
CMD ["--help"]

FROM cuda AS guard-gpu
LABEL org.opencontainers.image.title="mutant-guard-gpu" \
      org.opencontainers.image.description="Image classifier with a verdict on every input, on CUDA"
COPY --from=guard-gpu-build /opt/venv /opt/venv
USER 10001:10001
WORKDIR /var/lib/mutant-guard
EXPOSE 8000 9000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:9000/readyz', timeout=4)"]
ENTRYPOINT ["mutant-guard"]
CMD ["serve", "--host", "0.0.0.0"]

FROM python AS guard
LABEL org.opencontainers.image.title="mutant-guard" \
      org.opencontainers.image.description="Image classifier with a verdict on every input"
COPY --from=guard-build /opt/venv /opt/venv
USER 10001:10001
WORKDIR /var/lib/mutant-guard
EXPOSE 8000 9000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:9000/readyz', timeout=4)"]
ENTRYPOINT ["mutant-guard"]
CMD ["serve", "--host", "0.0.0.0"]
