"""Settings: frozen values, read once at start-up, passed in; nothing reads the environment later.

``ONESCAN_HOME`` and ``DATABASE_URL`` stand alone; every other name is
``ONESCAN_<GROUP>__<FIELD>``. An unknown ``ONESCAN_`` name is an error that suggests the nearest.
``docs/settings.md`` lists them all; a test holds it to this file.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from gateway.exceptions import UsageError

ROOT = Path(__file__).resolve().parent.parent
"""Where the packages and ``model_repository`` lie, in the checkout and in the wheel alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """The HTTP server."""

    host: str = "127.0.0.1"
    """Loopback by default; the generated key is always asked for."""

    port: int = 8042
    """0 takes a free one."""

    key: str = field(default="", repr=False)
    """API key of the default tenant; empty means the one generated under the home."""

    certificate: str = ""
    """PEM file of the api's certificate, its chain included; with one it speaks HTTPS only."""

    certificate_key: str = ""
    """PEM file of its private key; empty means that the certificate's file has it."""

    trusted_proxies: str = ""
    """Addresses and networks, comma between, whose ``X-Forwarded-For`` is believed."""

    session_seconds: int = 8 * 3600
    """Life of a browser's session: a working day."""

    max_instance_bytes: int = 2 * 1024**3
    """One part of a STOW request. Enhanced CT of 1,200 slices of 512² is 0.63 GB."""

    max_json_bytes: int = 1024**2
    """One JSON body; a report text is a few kB."""

    public_url: str = ""
    """Where others reach this api, such as ``https://ct.example.org``; it begins the Retrieve URLs
    that are answered. Empty takes scheme and Host of each request."""

    max_search_results: int = 1000
    """Matches of one search; more are paged, and the answer says so."""

    render_limit: int = 2
    """Frames, pictures and headers for retrieval made at once; each takes a core."""

    render_pending_limit: int = 64
    """Those that wait; beyond this the answer is 429."""

    request_limit: int = 64
    """Requests in hand, probes and streams not among them; beyond this the answer is 429."""

    store_limit: int = 16
    """STOW requests in hand, of the whole; beyond this the answer is 429."""

    store_stat_reserve: int = 2
    """Places of `store_limit` that only the stat lane takes."""

    store_bytes: int = 8 * 1024**3
    """Bodies on their way, by the lengths that they announce; one is always let in."""

    queue_limit: int = 50_000
    """Screenings that may wait; beyond this the answer is 429. The stat lane has the double."""

    view_bytes: int = 1024**3
    """Decoded volumes that are kept while people look at them, all together; 300 slices of 512²
    are 0.16 GB. What is largest sets the bound: a larger volume is not shown."""

    drain_seconds: float = 15.0
    """What requests in hand get after SIGTERM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """The identity provider."""

    issuer: str = ""
    """As tokens name it; empty means API keys only."""

    audience: str = ""
    """Of access tokens that are taken as bearer tokens; empty takes none."""

    client_id: str = ""
    """Ours, for signing in by browser; empty means no signing in."""

    client_secret: str = field(default="", repr=False)
    """Of a confidential client; PKCE is used either way."""

    tenant: str = ""
    """Tenant of everybody whom this issuer names; empty takes it from the claim."""

    tenant_claim: str = "tenant"
    """Claim that names the tenant; dots lead into objects."""

    roles_claim: str = "roles"
    """Claim that lists roles, such as ``realm_access.roles``."""

    roles_prefix: str = ""
    """What stands before our roles there, such as ``onescan:``."""

    leeway_seconds: int = 30
    """By how much the provider's clock may differ from ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeSettings:
    """What is taken from folders, archives and the wire."""

    max_archive_bytes: int = 16 * 1024**3
    """What one zip may unpack to."""

    max_archive_ratio: float = 200.0
    """Unpacked ÷ packed of one member; CT slices reach 2–4, blank ones stay far below 200."""

    max_archive_members: int = 100_000
    """Files in one zip."""

    partners: str = ""
    """File of partner profiles; empty means ``partners.toml`` under the home, where it exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """PostgreSQL and objects."""

    database_url: str = field(default="", repr=False)
    """``DATABASE_URL``; empty means the embedded server."""

    objects: str = ""
    """Folder of the object store, or ``s3://bucket/prefix``; empty means ``objects`` under the
    home."""

    node: str = ""
    """Name that marks a folder of objects as this node's; empty takes the machine's own id."""

    s3_endpoint: str = ""
    """Address of an S3 server, ``https://host:port``; empty means Amazon's."""

    s3_region: str = ""
    """Region of the bucket; empty means ``AWS_REGION``, or else us-east-1."""

    s3_credentials_file: str = ""
    """File in the form of ``~/.aws/credentials``; empty means the ``AWS_`` variables or a role."""

    pool_size: int = 8
    """Database connections of one process."""

    orphan_seconds: float = 3600.0
    """How often objects that nothing points at, a day old, are looked for and deleted; 0 never."""

    watermark_bytes: int = 1024**3
    """Free space of the folder of objects below which only the stat lane is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonSettings:
    """How Triton is reached and, when embedded, run."""

    url: str = ""
    """gRPC address; empty means the embedded server's Unix socket."""

    model_repository: str = ""
    """Empty means the repository that came with this package."""

    start_timeout_seconds: float = 120.0
    """Loading and warming every model."""

    call_timeout_seconds: float = 60.0
    """Client deadline of one inference."""

    exit_timeout_seconds: int = 10
    """Triton's own --exit-timeout-secs."""

    threads: int = 0
    """Threads of one network on the CPU; 0 means all cores."""

    restart_file: str = ""
    """Made when Triton has to be restarted and is not embedded; its liveness probe looks for it."""

    precision: str = "auto"
    """CPU precision: auto (bf16 where the processor has AMX and parity holds), f32 or bf16."""

    trace_endpoint: str = ""
    """Address to which Triton itself sends its spans by OTLP; empty means none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The worker."""

    concurrency: int = 3
    """Studies in hand at once: one decodes while another infers; one is kept for the stat lane."""

    decode_threads: int = 0
    """Threads that decode one study; 0 means all cores."""

    heartbeat_seconds: float = 2.0
    """How often a running screening says that it is alive."""

    stalled_seconds: float = 15.0
    """Silence after which the reaper takes a screening for stalled. Several heartbeats."""

    reap_seconds: float = 3.0
    """How often the reaper looks."""

    max_attempts: int = 3
    """The last one runs alone on its worker; after it the screening is ``failed: crashed``."""

    study_timeout_seconds: float = 300.0
    """One attempt at one screening."""

    drain_seconds: float = 15.0
    """What studies in hand get after SIGTERM; then they are handed back to the queue."""

    pool: str = "default"
    """Name of the pool of workers that this one belongs to."""

    checks: str = ""
    """Checks that this worker runs, comma between; empty means all. A job goes whole to a worker
    that runs all its checks."""

    lanes: str = ""
    """Lanes that this worker takes from, comma between; empty means all."""

    metrics_host: str = "127.0.0.1"
    """Address of the worker's own port; in a pod 0.0.0.0."""

    metrics_port: int = 0
    """Port of the worker's own ``/metrics``, ``/livez`` and ``/readyz``; 0 has none."""

    shm_bytes: int = 8 * 1024**3
    """Shared memory that studies in hand may hold together."""

    pod_name: str = ""
    """The worker's own pod, by the downward API; its deletion cost is kept. Empty is off."""

    pod_namespace: str = ""
    """Namespace of it; empty means the cluster configuration's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningSettings:
    """Clinical policy of the site."""

    adult_age_years: int = 18
    """Younger patients are not screened."""

    missing_age: str = "accept"
    """``accept`` or ``refuse`` a patient of unknown age; recorded either way."""

    site: str = "default"
    """Name of the threshold set in use."""

    false_flag_budget: float = 0.05
    """Share of healthy studies that may be flagged by any check; calibration splits it."""

    screening_rule: str = "lung_rads_2022"
    """``lung_rads_2022`` or ``c_lung_rads`` for lung nodules of screening exams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DimseSettings:
    """The DIMSE listener."""

    host: str = "127.0.0.1"
    """Loopback by default; an address of the hospital's network is a decision."""

    port: int = 0
    """0 means no listener; 11112 is the registered one, 2762 with TLS."""

    ae_title: str = "ONESCAN"
    """Ours."""

    called_ae: str = "any"
    """``exact`` rejects whoever calls another AE title than ours; ``any`` does not look."""

    allowed_ae_titles: str = ""
    """Calling AE titles, comma between; empty means all that a partner's profile names."""

    open_tenant: str = ""
    """Tenant of peers without a profile; empty rejects them."""

    certificate: str = ""
    """PEM file; with one every association is TLS 1.2 or later."""

    key: str = ""
    """PEM file of its private key; empty means that the certificate's file has it."""

    client_ca: str = ""
    """PEM file; with one a peer without a certificate of it is refused."""

    max_associations: int = 16
    """Further ones are rejected as transient."""

    max_pdu_bytes: int = 262144
    """What a peer may send in one PDU."""

    request_seconds: float = 10.0
    """Between the connection and the association request."""

    idle_seconds: float = 120.0
    """Silence between two messages after which an association is aborted."""

    stall_seconds: float = 30.0
    """Silence within a message after which an association is aborted."""

    patience_seconds: float = 20.0
    """A sender waits so long for PostgreSQL to come back, then it is told A700."""

    drain_seconds: float = 15.0
    """What the instance in hand gets after SIGTERM."""

    commitment_days: int = 7
    """How long the result of a storage commitment is kept for its asker."""

    metrics_host: str = "127.0.0.1"
    """Address of the listener's own port; in a pod 0.0.0.0."""

    metrics_port: int = 0
    """Port of the listener's own ``/metrics``; 0 has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """Streams of server-sent events."""

    streams_per_tenant: int = 64
    """Streams of one tenant that one api process keeps open; further ones are answered 429."""

    heartbeat_seconds: float = 15.0
    """Silence after which a stream says that it is alive; proxies close silent ones after 60 s."""

    stream_seconds: float = 3600.0
    """Then a stream ends and its reader comes back, with its key."""

    stall_seconds: float = 20.0
    """A reader that takes nothing for so long is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Calls to partners."""

    key: str = field(default="", repr=False)
    """Webhook secrets are derived from it, so all api processes share it; empty means the one
    generated under the home."""

    allow_private: str = "no"
    """``yes`` also calls private, loopback and link-local addresses."""

    allow_http: str = "no"
    """``yes`` also calls ``http://`` addresses."""

    ports: str = "443"
    """Ports that may be called, comma between; ``any`` is every port."""

    timeout_seconds: float = 10.0
    """One attempt, from the look-up of the name to the status."""

    first_delay_seconds: float = 10.0
    """Pause after the first failure; it doubles to an hour at most, give or take a quarter."""

    retry_seconds: float = 86400.0
    """Then a delivery has failed; a day."""

    concurrency: int = 16
    """Calls of one api process at once; a quarter of them to one tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSettings:
    """Results as DICOM objects."""

    timeout_seconds: float = 120.0
    """Making one screening's objects takes a second; whoever takes this long is stuck."""

    first_delay_seconds: float = 10.0
    """Pause after the first failure to make or send; it doubles to an hour at most."""

    retry_seconds: float = 86400.0
    """Then a result has failed; a day."""

    pending_limit: int = 8
    """Requests for objects that are not kept, which are made then; one more is answered 429."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """How long what was received is kept."""

    pixel_days: int = 0
    """Days after a study's last result and last arrival until its images go; 0 keeps them. A
    partner's profile may say otherwise."""

    event_days: int = 30
    """Days until events and webhook deliveries of ended screenings go; 0 keeps them."""

    every_seconds: float = 3600.0
    """How often retention runs; 0 never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """Traces, by OTLP over HTTP."""

    endpoint: str = ""
    """Address of the collector, such as ``http://collector:4318``; empty means no traces."""

    sample_ratio: float = 1.0
    """Share of traces that are recorded, 0 to 1; the same in every process."""

    headers_file: str = ""
    """File of ``Name: value`` lines that are sent along, such as a token."""

    ca_file: str = ""
    """PEM file of the collector's CA; empty means the system's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """The Kubernetes cluster, for ``onescan pool`` and for workers in pods."""

    kubeconfig: str = ""
    """File; empty means the pod's own service account, or kubectl's file."""

    context: str = ""
    """Of the kubeconfig; empty means its current one."""

    namespace: str = ""
    """Of the deployment; empty means the context's, or the pod's own."""

    release: str = ""
    """Helm release, where the namespace has several; empty means whatever is there."""

    timeout_seconds: float = 10.0
    """One call of the API server or of Prometheus."""

    prometheus_url: str = ""
    """Prometheus with DCGM's metrics; empty asks dcgm-exporter itself."""

    dcgm_namespace: str = "gpu-operator"
    """Namespace of dcgm-exporter."""

    gpu_hour_prices: str = ""
    """EUR for an hour of a GPU by its type or resource, such as ``H200=3.20,L4=0.80``."""


CHOICES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("webhooks", "allow_private"): ("no", "yes"),
    ("webhooks", "allow_http"): ("no", "yes"),
    ("dimse", "called_ae"): ("any", "exact"),
    ("screening", "missing_age"): ("accept", "refuse"),
    ("screening", "screening_rule"): ("lung_rads_2022", "c_lung_rads"),
}
"""Group and setting → the words it takes, where it takes no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Logs."""

    key: str = field(default="", repr=False)
    """UIDs in logs are hashed under it, so processes of one deployment share it; empty means the
    one generated under the home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one process."""

    home: Path
    """``ONESCAN_HOME``: state of the embedded server."""

    api: ApiSettings = ApiSettings()
    oidc: OidcSettings = OidcSettings()
    intake: IntakeSettings = IntakeSettings()
    store: StoreSettings = StoreSettings()
    triton: TritonSettings = TritonSettings()
    worker: WorkerSettings = WorkerSettings()
    screening: ScreeningSettings = ScreeningSettings()
    dimse: DimseSettings = DimseSettings()
    events: EventSettings = EventSettings()
    webhooks: WebhookSettings = WebhookSettings()
    results: ResultSettings = ResultSettings()
    retention: RetentionSettings = RetentionSettings()
    cluster: ClusterSettings = ClusterSettings()
    traces: TraceSettings = TraceSettings()
    log: LogSettings = LogSettings()

    @property
    def model_repository(self) -> Path:
        """The Triton model repository in use."""
        return Path(self.triton.model_repository or ROOT / "model_repository")

    @property
    def objects(self) -> Path:
        """Folder of the object store, where it is one."""
        return Path(self.store.objects or self.home / "objects")

    @property
    def partners(self) -> Path | None:
        """File of partner profiles; None where there is none."""
        if self.intake.partners:
            return Path(self.intake.partners)
        file = self.home / "partners.toml"
        return file if file.exists() else None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from environment variables.

        Raises
        ------
        UsageError
            For an unknown ``ONESCAN_`` name or a value of the wrong type.
        """
        groups: dict[str, dict[str, Any]] = {f.name: {} for f in fields(cls) if f.name != "home"}
        known = set(environment_names())
        for name, text in environ.items():
            if not name.startswith("ONESCAN_") or name == "ONESCAN_HOME":
                continue
            if name not in known:
                near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
                raise UsageError(f"Unknown setting {name}; did you mean {near[0]}?")
            group, key = name.removeprefix("ONESCAN_").lower().split("__", 1)
            groups[group][key] = _convert(name, text, getattr(_group_type(group)(), key))
            words = CHOICES.get((group, key))
            if words and text not in words:
                raise UsageError(f"{name}={text!r} is not one of {', '.join(words)}.")
        if url := environ.get("DATABASE_URL"):
            groups["store"]["database_url"] = url
        home = environ.get("ONESCAN_HOME") or _default_home(environ)
        return cls(
            home=Path(home).expanduser().absolute(),
            **{name: _group_type(name)(**values) for name, values in groups.items()},
        )

    def to_environ(self) -> dict[str, str]:
        """Give the settings as the environment variables that `from_environ` reads back."""
        out = {"ONESCAN_HOME": str(self.home)}
        for group in fields(self):
            if group.name == "home":
                continue
            values = getattr(self, group.name)
            for item in fields(values):
                if getattr(values, item.name) != getattr(type(values)(), item.name):
                    out[_variable(group.name, item.name)] = str(getattr(values, item.name))
        return out


def environment_names() -> list[str]:
    """List every environment variable that is read, apart from ``ONESCAN_HOME``."""
    return [
        _variable(group.name, item.name)
        for group in fields(Settings)
        if group.name != "home"
        for item in fields(_group_type(group.name))
    ]


def _variable(group: str, item: str) -> str:
    if (group, item) == ("store", "database_url"):
        return "DATABASE_URL"
    return f"ONESCAN_{group.upper()}__{item.upper()}"


def _group_type(name: str) -> Any:
    return {
        "api": ApiSettings,
        "oidc": OidcSettings,
        "intake": IntakeSettings,
        "store": StoreSettings,
        "triton": TritonSettings,
        "worker": WorkerSettings,
        "screening": ScreeningSettings,
        "dimse": DimseSettings,
        "events": EventSettings,
        "webhooks": WebhookSettings,
        "results": ResultSettings,
        "retention": RetentionSettings,
        "cluster": ClusterSettings,
        "traces": TraceSettings,
        "log": LogSettings,
    }[name]


def _convert(name: str, text: str, default: Any) -> Any:
    try:
        return type(default)(text)
    except ValueError:
        raise UsageError(
            f"{name}={text!r} is not a value of type {type(default).__name__}."
        ) from None


def _default_home(environ: Mapping[str, str]) -> str:
    base = environ.get("XDG_DATA_HOME") or str(
        Path(environ.get("HOME", "/tmp")) / ".local" / "share"
    )
    return str(Path(base) / "onescan")
