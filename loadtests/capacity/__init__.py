"""How many GPUs: a discrete-event simulation of intake, queue, pools, autoscalers and nodes.

The studies run through a tight event loop of their own (`plant`), since a million of them do not
fit through a general one in a minute; autoscalers, nodes, pods and faults run in simpy (`cluster`).
docs/capacity.md says what is modelled, what is measured and what is assumed.
"""
