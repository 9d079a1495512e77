# The images of pods: `gateway` (api, worker, DIMSE, migrations), `backup` (the same with pg_dump),
# `triton` (the GPU's side) and `compile` (engines for TensorRT). docs/images.md says what is in
# them and what was not built.
#
#   docker build --target gateway --tag ghcr.io/example/onescan-gateway:0.1.0 .
#   docker build --target triton  --tag ghcr.io/example/onescan-triton:0.1.0 .

# What the tests run on: Python 3.11, Debian 12.
ARG PYTHON_IMAGE=python:3.11.17-slim-bookworm@sha256:2333bd330d12de02514770b3585cad313644316047cdee24a7acfdece6de6efb
# Triton 2.73.0, the release of the tritonclient in constraints.txt: Python 3.12, CUDA 13.4.
# By tag: its digest could not be looked up where this was written. To pin it:
#   docker buildx imagetools inspect nvcr.io/nvidia/tritonserver:26.09-py3
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.09-py3
# The same month's, since an engine serves only in the TensorRT that made it. By tag, as above.
ARG COMPILE_IMAGE=nvcr.io/nvidia/pytorch:26.09-py3

# --- the project's wheel and the list of what each image needs
FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY docker/requirements.py docker/
RUN mkdir /wheels \
 && python docker/requirements.py build > /wheels/build.txt \
 && python docker/requirements.py gateway > /wheels/gateway.txt \
 && python docker/requirements.py backup > /wheels/backup.txt \
 && python docker/requirements.py triton > /wheels/triton.txt \
 && python docker/requirements.py compile > /wheels/compile.txt \
 && cp constraints.txt /wheels/ \
 && pip install --no-cache-dir --constraint constraints.txt --requirement /wheels/build.txt
COPY gateway gateway
COPY loadtests/__init__.py loadtests/
COPY loadtests/capacity loadtests/capacity
COPY model_repository model_repository
COPY networks networks
COPY postprocess postprocess
COPY preprocess preprocess
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# --- gateway: an environment without pip, and an image without tools to build
FROM ${PYTHON_IMAGE} AS gateway-env
COPY --from=wheel /wheels /wheels
RUN python -m venv --without-pip /opt/onescan \
 && pip --python /opt/onescan/bin/python install --no-cache-dir --only-binary=:all: \
      --constraint /wheels/constraints.txt --requirement /wheels/gateway.txt \
 && pip --python /opt/onescan/bin/python install --no-cache-dir --no-deps --no-index \
      /wheels/onescan-*.whl

FROM ${PYTHON_IMAGE} AS gateway
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="onescan-gateway" \
      org.opencontainers.image.description="api, worker, DIMSE listener and migrations of OneScan" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
RUN groupadd --gid 10001 onescan \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/onescan \
      --shell /usr/sbin/nologin onescan \
 && install --directory --owner=10001 --group=10001 --mode=0700 \
      /var/lib/onescan /var/lib/onescan/banks /run/onescan \
 && python -m pip uninstall --yes --quiet --root-user-action=ignore setuptools wheel pip
COPY --from=gateway-env /opt/onescan /opt/onescan
# All state is under /var/lib/onescan, /run/onescan, /dev/shm and /tmp: mount these, and the root
# may be read-only.
ENV PATH="/opt/onescan/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/onescan \
    ONESCAN_HOME=/var/lib/onescan \
    ONESCAN_API__HOST=0.0.0.0 \
    ONESCAN_DIMSE__HOST=0.0.0.0 \
    ONESCAN_DIMSE__METRICS_HOST=0.0.0.0 \
    ONESCAN_WORKER__METRICS_HOST=0.0.0.0 \
    ONESCAN_TRITON__URL=unix:/run/onescan/triton:8001 \
    ONESCAN_TRITON__RESTART_FILE=/run/onescan/triton-must-restart
USER 10001:10001
WORKDIR /var/lib/onescan
EXPOSE 8042 9090 11112
# No HEALTHCHECK: api, worker and listener are asked on ports of their own; compose.yaml and the
# chart name them.
ENTRYPOINT ["onescan"]
CMD ["serve"]

# --- backup: the gateway with PostgreSQL's client programs, which Debian 12 has too old
FROM gateway-env AS backup-env
RUN pip --python /opt/onescan/bin/python install --no-cache-dir --only-binary=:all: \
      --constraint /wheels/constraints.txt --requirement /wheels/backup.txt

FROM gateway AS backup
LABEL org.opencontainers.image.title="onescan-backup" \
      org.opencontainers.image.description="Backup and restore of OneScan"
COPY --from=backup-env /opt/onescan /opt/onescan
CMD ["backup", "--help"]

# --- triton: the official image, our Python parts beside its Python backend
FROM ${TRITON_IMAGE} AS triton-env
COPY --from=wheel /wheels /wheels
RUN python3 -m venv --without-pip /opt/onescan \
 && python3 -m pip --python /opt/onescan/bin/python install --no-cache-dir --only-binary=:all: \
      --constraint /wheels/constraints.txt --requirement /wheels/triton.txt \
 && python3 -m pip --python /opt/onescan/bin/python install --no-cache-dir --no-deps --no-index \
      --no-compile /wheels/onescan-*.whl

FROM ${TRITON_IMAGE} AS triton
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="onescan-triton" \
      org.opencontainers.image.description="Triton Inference Server with the models of OneScan" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
USER 0:0
RUN groupadd --gid 10001 onescan \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/onescan \
      --shell /usr/sbin/nologin onescan \
 && install --directory --owner=10001 --group=10001 --mode=0700 \
      /var/lib/onescan /var/lib/onescan/banks /run/onescan
COPY --from=triton-env /opt/onescan /opt/onescan
COPY --chmod=0755 docker/until-told.sh /usr/local/bin/until-told
# The Python backend's stub takes the site-packages of the python3 that is first on PATH.
# ONNX Runtime reports its use to its maker over the network unless told otherwise.
ENV PATH="/opt/onescan/bin:/opt/tritonserver/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/onescan \
    CUPY_CACHE_DIR=/tmp/cupy \
    ORT_DISABLE_TELEMETRY=1 \
    OPENVINO_TELEMETRY_DISABLED=1 \
    ONESCAN_HOME=/var/lib/onescan \
    ONESCAN_TRITON__RESTART_FILE=/run/onescan/triton-must-restart
USER 10001:10001
WORKDIR /var/lib/onescan
EXPOSE 8002
# Triton opens its socket when every model is loaded.
HEALTHCHECK --interval=5s --timeout=2s --start-period=300s --retries=3 \
  CMD ["test", "-S", "/run/onescan/triton:8001", "-a", "!", "-e", "/run/onescan/triton-must-restart"]
# Not through the vendor's entry point, which prints banners and looks for the libraries that let
# an older driver do: the node's driver is one for CUDA 13 itself.
ENTRYPOINT ["onescan"]
CMD ["triton", "--metrics-port=8002"]

# --- compile: TensorRT is not on PyPI; torch-tensorrt and TensorRT are in this base
FROM ${COMPILE_IMAGE} AS compile
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="onescan-compile" \
      org.opencontainers.image.description="Compiles the models of OneScan for TensorRT" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
USER 0:0
COPY --from=wheel /wheels /wheels
# The base's own constraints hold its torch, which stays visible and is not installed again.
RUN python3 -m venv --without-pip --system-site-packages /opt/onescan \
 && PIP_CONSTRAINT='' python3 -m pip --python /opt/onescan/bin/python install --no-cache-dir \
      --only-binary=:all: --constraint /wheels/constraints.txt --requirement /wheels/compile.txt \
 && python3 -m pip --python /opt/onescan/bin/python install --no-cache-dir --no-deps --no-index \
      /wheels/onescan-*.whl \
 && groupadd --gid 10001 onescan \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/onescan \
      --shell /usr/sbin/nologin onescan \
 && install --directory --owner=10001 --group=10001 --mode=0700 \
      /var/lib/onescan /var/cache/onescan /models
ENV PATH="/opt/onescan/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/onescan \
    ONESCAN_HOME=/var/lib/onescan
USER 10001:10001
WORKDIR /var/lib/onescan
ENTRYPOINT ["onescan"]
CMD ["models", "--help"]
