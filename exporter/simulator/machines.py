"""Which machines there are: their addresses, their hosts and what they are typically like.

Constants and what follows from them; nothing here knows the time or a bucket.
"""

from typing import NamedTuple


class Machine(NamedTuple):
    """A node as the vendor's operators see it: the same machine for every bucket."""

    ip: str
    host: str
    typical_latency: float  # milliseconds
    busiest_hour: float  # of the UTC day


PUBLIC_MACHINES = (
    Machine("198.51.100.11", "*-us-east-1-aws.flashback.tech", 38.0, 19.0),
    Machine("198.51.100.27", "*-us-east-1-gcp.flashback.tech", 44.0, 19.5),
    Machine("198.51.100.42", "*-us-east-1-azure.flashback.tech", 52.0, 20.0),
    Machine("203.0.113.11", "*-eu-central-1-aws.flashback.tech", 71.0, 13.0),
    Machine("203.0.113.27", "*-eu-central-1-gcp.flashback.tech", 78.0, 13.5),
    Machine("203.0.113.42", "*-eu-central-1-azure.flashback.tech", 93.0, 14.0),
)
"""The six public nodes, at addresses that are reserved for documentation."""

PRIVATE_MACHINES = (
    Machine("10.20.0.5", "storage.corp.example", 6.0, 10.0),
    Machine("10.20.0.6", "storage.corp.example", 7.0, 10.0),
    Machine("fd00:20::7", "*-munich-minio.corp.example:9000", 12.0, 11.0),
)
"""What an organisation might add: two under one host, one with an IPv6 address and a port."""

HUNDREDS_OF_MACHINES = tuple(
    Machine(f"10.77.{rack}.{slot + 1}", f"*-rack-{rack:02}-{slot:02}.corp.example", 9.0 + slot, 9.0)
    for rack in range(10)
    for slot in range(30)
)
"""Three hundred private nodes."""
