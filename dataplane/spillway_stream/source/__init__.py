"""Sources without code: `python -m spillway_stream.source` fills a ring from a picture or a capture.

The pod that the operator makes for a BypassStream runs exactly this. Its word is one JSON object in the environment variable
SPILLWAY_SOURCE:

    {
      "stream": "studio/camera-1",            required; for messages and metrics
      "uid": "6c1e...",                       the BypassStream's; RTP's SSRC is made of it
      "source": {"video": {...}},             required: spec.source as it stands in the BypassStream, video or pcap
      "pacing": {"profile": "ST2110-21-Wide"},   spec.pacing as it stands, or left out
      "clock": {"source": "PTP", "ptpDomain": 127},   spec.clock as it stands, or left out
      "rings": ["/run/spillway/ring/ring.sock"],   the stream's, then one for each leg; default [$SPILLWAY_RING]
      "files": "/media",                      where the volume is mounted read-only; source.*.file is relative to it
      "cpu": 3,                               the core to stay on, or left out: chosen among those that the process may use
      "metricsPort": 9467                     Prometheus text at /metrics, readiness at /readyz; 0 or left out: none
    }

What the node tells of the ring's card comes in variables of their own: SPILLWAY_PTP (a clock's device file), SPILLWAY_NUMA_CPUS
and SPILLWAY_INTERRUPT_CPUS (lists of cores).

An unknown field is an error with its path. How it ends: 0 when a file that is not looped is through, 143 on SIGTERM before
that; else it writes {"reason": ..., "message": ...} to SPILLWAY_TERMINATION (default /dev/termination-log, where Kubernetes
shows it in the pod's status) and exits with 2 for InvalidIntent (the spec has to be changed), 3 for NotSupported, 4 for Transient
(try again). Started again in a pod where a file was refused, it waits for another file.
"""
