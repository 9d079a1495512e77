"""The Kubernetes cluster around us: pods and pools as they are, and the little that we change.

Everything goes through `gateway.cluster.client.Cluster`; nothing else imports ``kubernetes``.
"""
