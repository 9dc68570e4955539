"""`hushtap demo`: three real calls on this machine, from ringing to MP3."""

from __future__ import annotations

import argparse
import asyncio

from gateway.demo import show


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(show.run(arguments.directory, seconds=arguments.seconds))
