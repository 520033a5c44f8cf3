"""The checker of annotations, array shapes included, that runs while the tests do (an int passes for a float)."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
