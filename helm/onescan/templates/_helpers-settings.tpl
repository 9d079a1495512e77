{{/* Settings that the chart makes of its values: variable → the value that it comes from. A name
     here is refused in `settings`, so that there is one place for each. */}}
{{- define "onescan.reserved" -}}
DATABASE_URL: database.existingSecret
ONESCAN_HOME: nothing, it is fixed
ONESCAN_API__HOST: nothing, it is fixed
ONESCAN_API__PORT: nothing, it is fixed
ONESCAN_API__KEY: keys.existingSecret
ONESCAN_API__CERTIFICATE: api.tls.existingSecret
ONESCAN_API__CERTIFICATE_KEY: api.tls.existingSecret
ONESCAN_API__PUBLIC_URL: api.publicUrl
ONESCAN_API__TRUSTED_PROXIES: api.trustedProxies
ONESCAN_API__DRAIN_SECONDS: api.drainSeconds
ONESCAN_WEBHOOKS__KEY: keys.existingSecret
ONESCAN_LOG__KEY: keys.existingSecret
ONESCAN_OIDC__CLIENT_SECRET: oidc.existingSecret
ONESCAN_INTAKE__PARTNERS: partners
ONESCAN_STORE__OBJECTS: objects
ONESCAN_STORE__NODE: nothing, it is the node's name
ONESCAN_STORE__S3_ENDPOINT: s3.endpoint
ONESCAN_STORE__S3_REGION: s3.region
ONESCAN_STORE__S3_CREDENTIALS_FILE: s3.credentialsSecret
ONESCAN_TRITON__URL: nothing, it is fixed
ONESCAN_TRITON__MODEL_REPOSITORY: models
ONESCAN_TRITON__RESTART_FILE: nothing, it is fixed
ONESCAN_TRITON__START_TIMEOUT_SECONDS: triton.startTimeoutSeconds
ONESCAN_TRITON__EXIT_TIMEOUT_SECONDS: triton.exitTimeoutSeconds
ONESCAN_WORKER__POOL: pools
ONESCAN_WORKER__CHECKS: pools.NAME.checks
ONESCAN_WORKER__LANES: pools.NAME.lanes
ONESCAN_WORKER__CONCURRENCY: pools.NAME.concurrency
ONESCAN_WORKER__SHM_BYTES: pools.NAME.shmGiB
ONESCAN_WORKER__STUDY_TIMEOUT_SECONDS: worker.studyTimeoutSeconds
ONESCAN_WORKER__DRAIN_SECONDS: worker.drainSeconds
ONESCAN_WORKER__POD_NAME: worker.deletionCost
ONESCAN_WORKER__POD_NAMESPACE: worker.deletionCost
ONESCAN_WORKER__METRICS_HOST: nothing, it is fixed
ONESCAN_WORKER__METRICS_PORT: nothing, it is fixed
ONESCAN_DIMSE__HOST: nothing, it is fixed
ONESCAN_DIMSE__PORT: dimse.tls
ONESCAN_DIMSE__AE_TITLE: dimse.aeTitle
ONESCAN_DIMSE__CERTIFICATE: dimse.tls.existingSecret
ONESCAN_DIMSE__KEY: dimse.tls.existingSecret
ONESCAN_DIMSE__CLIENT_CA: dimse.tls.requireClientCertificate
ONESCAN_DIMSE__METRICS_HOST: nothing, it is fixed
ONESCAN_DIMSE__METRICS_PORT: nothing, it is fixed
ONESCAN_DIMSE__DRAIN_SECONDS: dimse.drainSeconds
{{- end -}}

{{/* Where objects lie, for every pod that reads or writes them. */}}
{{- define "onescan.settings.objects" -}}
{{- if eq .Values.objects.kind "s3" }}
ONESCAN_STORE__OBJECTS: {{ .Values.objects.s3.url | quote }}
{{- else }}
ONESCAN_STORE__OBJECTS: /var/lib/onescan-objects/store
{{- end }}
{{- with .Values.s3.endpoint }}
ONESCAN_STORE__S3_ENDPOINT: {{ . | quote }}
{{- end }}
{{- with .Values.s3.region }}
ONESCAN_STORE__S3_REGION: {{ . | quote }}
{{- end }}
{{- if .Values.s3.credentialsSecret }}
ONESCAN_STORE__S3_CREDENTIALS_FILE: /etc/onescan/s3/credentials
{{- end }}
{{- end -}}

{{/* Where the model repository of pods without Triton lies; nothing means the image. */}}
{{- define "onescan.settings.models" -}}
{{- if ne .Values.models.source "image" }}
ONESCAN_TRITON__MODEL_REPOSITORY: /models-source
{{- end }}
{{- end -}}

{{/* The ConfigMap's data. */}}
{{- define "onescan.settings" -}}
ONESCAN_HOME: /var/lib/onescan
{{- include "onescan.settings.objects" . }}
{{- include "onescan.settings.models" . }}
{{- if include "onescan.partnersSource" . }}
ONESCAN_INTAKE__PARTNERS: /etc/onescan/partners/partners.toml
{{- end }}
ONESCAN_WORKER__STUDY_TIMEOUT_SECONDS: {{ .Values.worker.studyTimeoutSeconds | quote }}
ONESCAN_WORKER__DRAIN_SECONDS: {{ .Values.worker.drainSeconds | quote }}
ONESCAN_TRITON__START_TIMEOUT_SECONDS: {{ .Values.triton.startTimeoutSeconds | quote }}
ONESCAN_TRITON__EXIT_TIMEOUT_SECONDS: {{ .Values.triton.exitTimeoutSeconds | quote }}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ include "onescan.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* A number, text or truth as text. Helm reads numbers of files as floats, and would write 1e+09. */}}
{{- define "onescan.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}
