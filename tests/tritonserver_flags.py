"""The options of tritonserver, of the release that the Dockerfile names and of the wheel's.

Taken from ``src/command_line_parser.cc`` of github.com/triton-inference-server/server: the same 91
in the tag v2.71.0 (26.07), the branch r26.08 and main when it became 2.73.0 (26.09). Those of
the Python backend are from ``src/python_be.cc`` of python_backend.
"""

from __future__ import annotations

RELEASES = {
    "2.70.0": "26.06",
    "2.71.0": "26.07",
    "2.72.0": "26.08",
    "2.73.0": "26.09",
    "2.74.0": "26.10",
    "2.75.0": "26.11",
}
"""Version of Triton → release of its container, as its release notes say."""

_OPTIONS = """
allow-client-shm allow-cpu-metrics allow-gpu-metrics allow-grpc allow-http allow-metrics
allow-sagemaker allow-vertex-ai backend-config backend-directory buffer-manager-thread-count
cache-config cache-directory cuda-memory-pool-byte-size cuda-virtual-address-size
disable-auto-complete-config enable-peer-access exit-on-error exit-timeout-secs grpc-address
grpc-header-forward-pattern grpc-http2-max-ping-strikes grpc-http2-max-pings-without-data
grpc-http2-min-recv-ping-interval-without-data grpc-infer-allocation-pool-size
grpc-infer-response-compression-level grpc-infer-thread-count
grpc-keepalive-permit-without-calls grpc-keepalive-time grpc-keepalive-timeout
grpc-max-connection-age grpc-max-connection-age-grace grpc-max-response-pool-size grpc-port
grpc-restricted-protocol grpc-root-cert grpc-server-cert grpc-server-key grpc-use-ssl
grpc-use-ssl-mutual help host-policy http-address http-header-forward-pattern
http-max-input-size http-port http-restricted-api http-thread-count id load-model log-error
log-file log-format log-info log-verbose log-warning metrics-address metrics-config
metrics-interval-ms metrics-port min-supported-compute-capability model-config-name
model-control-mode model-load-gpu-limit model-load-retry-count model-load-thread-count
model-namespacing model-repository model-store pinned-memory-pool-byte-size rate-limit
rate-limit-resource repoagent-directory repository-poll-secs response-cache-byte-size
reuse-grpc-port reuse-http-port sagemaker-port sagemaker-safe-port-range
sagemaker-thread-count strict-model-config strict-readiness trace-config trace-count
trace-file trace-level trace-log-frequency trace-rate vertex-ai-default-model vertex-ai-port
vertex-ai-thread-count
"""

FLAGS = frozenset(_OPTIONS.split())
"""Of the release in the Dockerfile."""

SINCE_THE_WHEEL = {
    "allow-client-shm",
    "grpc-infer-thread-count",
    "grpc-max-response-pool-size",
    "http-max-input-size",
}
"""Those that the wheel's 2.51 does not know; it knows all others."""

PYTHON_BACKEND = {
    "shm-default-byte-size",
    "shm-growth-byte-size",
    "shm-region-prefix-name",
    "stub-timeout-seconds",
    "thread-pool-size",
}
"""Names after ``--backend-config=python,``."""
