"""Seeds become numpy Generators by hashing a key, never by addition.

With `Random(seed + index)`, seeds 42 and 43 share all but one of their rows. Here every part of
the key is written with its type and length before hashing, so different keys give unrelated streams.
"""

import hashlib

import numpy as np

Key = str | int


def digest(*key: Key, size: int = 16) -> str:
    """Hexadecimal BLAKE2b digest of `size` bytes of a key."""
    h = hashlib.blake2b(digest_size=size)
    for part in key:
        text = str(part)
        h.update(f"{type(part).__name__}:{len(text)}:{text};".encode("utf-8", "surrogateescape"))
    return h.hexdigest()


def generator(*key: Key) -> np.random.Generator:
    """The numpy Generator that belongs to a key, for example `generator(seed, "shuffle", k)`."""
    return np.random.default_rng(int(digest(*key), 16))
