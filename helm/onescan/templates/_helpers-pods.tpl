{{/* Parts that pods share. Each gives lines without indentation. */}}

{{/* Head of a pod's spec; give (list . serviceAccountName). The token of a service account is
     mounted nowhere by itself. */}}
{{- define "onescan.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ index . 1 }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{/* Head of a container of the gateway's image. */}}
{{- define "onescan.gatewayContainer" -}}
image: {{ include "onescan.image" (list . .Values.image) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{- define "onescan.tritonContainer" -}}
image: {{ include "onescan.image" (list . .Values.triton.image) | quote }}
imagePullPolicy: {{ .Values.triton.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{- define "onescan.env.database" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret }}
      key: {{ .Values.database.urlKey }}
{{- end -}}

{{/* A folder of objects is marked with the node's name, so a pod on another node is refused. */}}
{{- define "onescan.env.node" -}}
{{- if eq .Values.objects.kind "folder" -}}
- name: ONESCAN_STORE__NODE
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- end }}
{{- end -}}

{{/* UIDs in logs are hashed under it, by all pods alike. */}}
{{- define "onescan.env.logKey" -}}
- name: ONESCAN_LOG__KEY
  valueFrom:
    secretKeyRef:
      name: {{ .Values.keys.existingSecret }}
      key: log-key
{{- end -}}

{{- define "onescan.env.keys" -}}
- name: ONESCAN_API__KEY
  valueFrom:
    secretKeyRef:
      name: {{ .Values.keys.existingSecret }}
      key: api-key
- name: ONESCAN_WEBHOOKS__KEY
  valueFrom:
    secretKeyRef:
      name: {{ .Values.keys.existingSecret }}
      key: webhook-key
{{- end -}}

{{/* Mounts of every container that runs api, listener or worker. */}}
{{- define "onescan.mounts" -}}
- name: home
  mountPath: /var/lib/onescan
{{- if .Values.thresholds }}
- name: thresholds
  mountPath: /var/lib/onescan/thresholds
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- include "onescan.mounts.database" . }}
{{- include "onescan.mounts.s3" . }}
{{- if eq .Values.objects.kind "folder" }}
- name: objects
  mountPath: /var/lib/onescan-objects
{{- end }}
{{- end -}}

{{- define "onescan.mounts.database" -}}
{{- if .Values.database.caSecret }}
- name: database-ca
  mountPath: /etc/onescan/database
  readOnly: true
{{- end }}
{{- end -}}

{{- define "onescan.mounts.s3" -}}
{{- if .Values.s3.credentialsSecret }}
- name: s3
  mountPath: /etc/onescan/s3
  readOnly: true
{{- end }}
{{- end -}}

{{- define "onescan.mounts.models" -}}
{{- if ne .Values.models.source "image" }}
- name: models-source
  mountPath: /models-source
  readOnly: true
{{- end }}
{{- end -}}

{{/* Of api and listener, which know partners and speak to their archives. */}}
{{- define "onescan.mounts.partners" -}}
{{- if include "onescan.partnersSource" . }}
- name: partners
  mountPath: /etc/onescan/partners
  readOnly: true
{{- end }}
{{- range $name, $secret := .Values.secretFiles }}
- name: secret-{{ $name }}
  mountPath: /run/secrets/{{ $name }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* Give (list . sizeLimit of /tmp). */}}
{{- define "onescan.volumes" -}}
{{- $root := index . 0 -}}
- name: home
  emptyDir:
    sizeLimit: 1Gi
{{- if $root.Values.thresholds }}
- name: thresholds
  configMap:
    name: {{ include "onescan.fullname" $root }}-thresholds
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: {{ index . 1 }}
{{- include "onescan.volumes.database" $root }}
{{- include "onescan.volumes.s3" $root }}
{{- if eq $root.Values.objects.kind "folder" }}
- name: objects
  persistentVolumeClaim:
    claimName: {{ include "onescan.objectsClaim" $root }}
{{- end }}
{{- end -}}

{{- define "onescan.volumes.database" -}}
{{- with .Values.database.caSecret }}
- name: database-ca
  secret:
    secretName: {{ . }}
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- end -}}

{{- define "onescan.volumes.s3" -}}
{{- with .Values.s3.credentialsSecret }}
- name: s3
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: credentials
        path: credentials
{{- end }}
{{- end -}}

{{- define "onescan.volumes.models" -}}
{{- if eq .Values.models.source "pvc" }}
- name: models-source
  persistentVolumeClaim:
    claimName: {{ .Values.models.pvc.existingClaim }}
    readOnly: true
{{- else if eq .Values.models.source "s3" }}
- name: models-source
  emptyDir:
    sizeLimit: {{ .Values.models.s3.sizeLimit }}
{{- end }}
{{- end -}}

{{- define "onescan.volumes.partners" -}}
{{- $source := include "onescan.partnersSource" . }}
{{- if eq $source "secret" }}
- name: partners
  secret:
    secretName: {{ .Values.partners.existingSecret }}
    defaultMode: 0440
    items:
      - key: partners.toml
        path: partners.toml
{{- else if eq $source "configMap" }}
- name: partners
  configMap:
    name: {{ include "onescan.fullname" . }}-partners
{{- end }}
{{- range $name, $secret := .Values.secretFiles }}
- name: secret-{{ $name }}
  secret:
    secretName: {{ $secret }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* Init container that copies the model repository from S3, for api and pools. */}}
{{- define "onescan.fetchModels" -}}
{{- if eq .Values.models.source "s3" -}}
- name: fetch-models
  {{- include "onescan.gatewayContainer" . | nindent 2 }}
  args: [models, fetch, --from, {{ .Values.models.s3.url | quote }}, --to, /models-source]
  env:
    - name: ONESCAN_HOME
      value: /tmp/home
    {{- with .Values.s3.endpoint }}
    - name: ONESCAN_STORE__S3_ENDPOINT
      value: {{ . | quote }}
    {{- end }}
    {{- with .Values.s3.region }}
    - name: ONESCAN_STORE__S3_REGION
      value: {{ . | quote }}
    {{- end }}
    {{- if .Values.s3.credentialsSecret }}
    - name: ONESCAN_STORE__S3_CREDENTIALS_FILE
      value: /etc/onescan/s3/credentials
    {{- end }}
  resources:
    requests: {cpu: 100m, memory: 256Mi}
    limits: {memory: 1Gi}
  volumeMounts:
    - name: models-source
      mountPath: /models-source
    - name: tmp
      mountPath: /tmp
    {{- with include "onescan.mounts.s3" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end -}}

{{/* `onescan migrate` as a container; give (list . name). */}}
{{- define "onescan.migrate" -}}
{{- $root := index . 0 -}}
- name: {{ index . 1 }}
  {{- include "onescan.gatewayContainer" $root | nindent 2 }}
  args:
    - migrate
    {{- if $root.Values.autoscaling.enabled }}
    - --scaler-role
    - {{ $root.Values.database.scaler.role | quote }}
    {{- end }}
  env:
    - name: ONESCAN_HOME
      value: /tmp/home
    {{- include "onescan.env.database" $root | nindent 4 }}
  resources:
    {{- toYaml $root.Values.migrations.resources | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    {{- with include "onescan.mounts.database" $root | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Spread over zones unless the values say otherwise; give (list selectorLabels values). */}}
{{- define "onescan.spread" -}}
{{- $values := index . 1 -}}
topologySpreadConstraints:
{{- if $values.topologySpreadConstraints }}
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- index . 0 | nindent 8 }}
{{- end }}
{{- end -}}

{{/* Keep pods on different nodes; give (list selectorLabels how). */}}
{{- define "onescan.antiAffinity" -}}
{{- $labels := index . 0 -}}
podAntiAffinity:
{{- if eq (index . 1) "required" }}
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- $labels | nindent 10 }}
{{- else }}
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- $labels | nindent 12 }}
{{- end }}
{{- end -}}
