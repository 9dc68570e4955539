"""A SIPREC recording client (RFC 7866): places calls with two legs of RTP at a recording server and tells what it sent.

It is the other side of the gateway and shares no signalling code with it, so that it can judge it. Its network is as
bad as the plan says, the same way each time for the same seed. `python -m gateway.demo.client` puts load on a server.
"""

from gateway.demo.client.agent import Client, place
from gateway.demo.client.digest import Login
from gateway.demo.client.errors import ClientError
from gateway.demo.client.outcome import Ending, LegSent, Outcome, Sent
from gateway.demo.client.plan import Digit, Leg, Network, Party, Plan

__all__ = [
    "Client",
    "ClientError",
    "Digit",
    "Ending",
    "Leg",
    "LegSent",
    "Login",
    "Network",
    "Outcome",
    "Party",
    "Plan",
    "Sent",
    "place",
]
