"""Peers and controls: what a benchmark compares xmatch with.

Controls are peers that look at no content: what they score is what a benchmark gives away. `base` says what a peer is,
`registry.PEERS` is the vocabulary; a peer from outside joins through the entry-point group `xmatch.peers`.
"""
