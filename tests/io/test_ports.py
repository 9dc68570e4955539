from __future__ import annotations

import socket

import pytest

from gateway.config.settings import MediaSettings
from gateway.io.ports import MediaPorts, NoPortFree


def test_even_ports_each_once_and_the_longest_unused_first() -> None:
    ports = MediaPorts(MediaSettings(first_port=47_201, last_port=47_208))
    claimed = [ports.claim("127.0.0.1") for _ in range(4)]
    assert [each.getsockname()[1] for each in claimed] == [47_202, 47_204, 47_206, 47_208]
    with pytest.raises(NoPortFree):
        ports.claim("127.0.0.1")
    for number in (2, 0):
        ports.release(claimed[number])
    again = [ports.claim("127.0.0.1") for _ in range(2)]
    assert [each.getsockname()[1] for each in again] == [47_206, 47_202]
    for each in (*again, claimed[1], claimed[3]):
        ports.release(each)


def test_a_port_of_somebody_else_is_passed_over_and_tried_again() -> None:
    ports = MediaPorts(MediaSettings(first_port=47_220, last_port=47_223))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 47_220))
        one = ports.claim("127.0.0.1")
        assert one.getsockname()[1] == 47_222
        with pytest.raises(NoPortFree):
            ports.claim("127.0.0.1")
    two = ports.claim("127.0.0.1")
    assert two.getsockname()[1] == 47_220
    ports.release(one)
    ports.release(two)
