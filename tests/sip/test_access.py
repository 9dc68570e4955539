from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.sip.access import AllowList, Buckets

ALLOWED = AllowList([ip_network("192.0.2.0/28"), ip_network("2001:db8::/64")])


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("192.0.2.15", True),
        ("192.0.2.16", False),
        ("2001:db8::7", True),
        ("2001:db8::7%eth0", True),
        ("2001:db8:1::7", False),
        ("::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.99", False),
    ],
)
def test_networks(host: str, allowed: bool) -> None:
    assert (host in ALLOWED) is allowed


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    buckets = Buckets(rate=2, burst=3)
    assert [buckets.take("a", 0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b", 0) == 0
    assert [buckets.take("a", 0.5) for _ in range(2)] == [0, 0.5]
    assert [buckets.take("a", 100) for _ in range(4)] == [0, 0, 0, 0.5]


def test_the_table_is_bounded() -> None:
    buckets = Buckets(rate=1, burst=1, most=10)
    for number in range(1000):
        buckets.take(str(number), 0)
    assert len(buckets) == 10
    assert buckets.take("999", 0) > 0
    assert buckets.take("0", 0) == 0
