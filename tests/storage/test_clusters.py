from __future__ import annotations

from itertools import accumulate
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.storage import container
from gateway.storage.clusters import Clusters
from gateway.storage.container import MAX_CLUSTER_UNITS, Block

recordings = st.lists(
    st.tuples(
        st.integers(0, 1 << 40),
        st.lists(
            st.tuples(st.integers(1, 126), st.integers(0, 800), st.integers(1, 900)), min_size=1, max_size=9
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(recordings, st.integers(0, 1 << 32))
def test_each_cluster_as_if_it_were_made_alone(
    found: list[tuple[int, list[tuple[int, int, int]]]], seed: int
) -> None:
    random = Random(seed)
    groups = []
    for start, blocks in found:
        times = list(accumulate((step for _, step, _ in blocks), initial=start))
        groups.append(
            [
                Block(track, time, random.randbytes(size))
                for (track, _, size), time in zip(blocks, times, strict=False)
            ]
        )
    assert all(group[-1].time - group[0].time <= MAX_CLUSTER_UNITS for group in groups)
    every = [block for group in groups for block in group]
    firsts = np.cumsum([0, *(len(group) for group in groups[:-1])])
    clusters = Clusters(
        firsts,
        np.array([block.track for block in every]),
        np.array([block.time for block in every]),
        np.array([len(block.payload) for block in every]),
    )
    for block, place in zip(every, clusters.payloads.tolist(), strict=True):
        clusters.put(np.array([place]), np.frombuffer(block.payload, np.uint8)[None])
    assert [bytes(cluster) for cluster in clusters] == [container.cluster(group) for group in groups]
