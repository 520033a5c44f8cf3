"""The dataset card: a README.md that a hub renders and `datasets.load_dataset` obeys."""

from typing import Any

HEAD = """---
configs:
- config_name: default
  data_files:
{files}
task_categories:
- visual-question-answering
- image-text-to-text
tags:
- spatial-reasoning
- reinforcement-learning
- self-supervised
size_categories:
- {size}
---

# Spatial puzzles

{rows:,} puzzles with verifiable answers, made from pictures alone by [spatial-ssrl](https://arxiv.org/abs/2510.27606)
{version}: no person and no other model labelled them. Profile `{profile}`, seed {seed}.

```python
from datasets import load_dataset

rows = load_dataset("path/to/this/folder", split="{split}")
rows[0]["images"], rows[0]["problem"], rows[0]["answer"]
```

`spatial_ssrl.score(reply, row)` gives the reward of a reply.

## Rows

{table}

## Columns

| column | meaning |
|---|---|
| `problem` | question with one `<image>` a picture and the form of the answer |
| `answer`, `grammar`, `options` | canonical answer, its form, the texts of a choice question |
| `images` | the pictures, in the order of the placeholders |
| `chance` | accuracy of a uniform guess |
| `margin`, `margin_threshold` | by how much the answer is decided, and the least that was accepted |
| `task`, `variant`, `profile`, `level` | kind of puzzle; level orders the variants of a task by difficulty |
| `scene_id`, `source`, `split`, `params` | where it comes from, and what was drawn; no scene is in two splits |

## Draws that gave no row

{drops}

Sources: {sources}. The pictures keep the licence of their source.
"""


def write_card(manifest: dict[str, Any]) -> str:
    """The card of a dataset with this manifest."""
    recipe, counts = manifest["recipe"], manifest["counts"]
    splits = [split for split in recipe["splits"] if split in counts]
    rows = sum(sum(c.values()) for c in counts.values())
    return HEAD.format(
        files="\n".join(f"  - split: {split}\n    path: data/{split}-*.parquet" for split in splits),
        size=_size(rows),
        rows=rows,
        version=manifest["versions"]["spatial-ssrl"],
        profile=recipe["profile"],
        seed=recipe["seed"],
        split=splits[0] if splits else "train",
        table=_table(counts, splits),
        drops=_drops(manifest["drops"]),
        sources=", ".join(f"`{source}`" for source in recipe["sources"]),
    )


def _size(rows: int) -> str:
    """The hub's size category."""
    steps = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((name for limit, name in steps.items() if rows < limit), "n>1M")


def _table(counts: dict[str, dict[str, int]], splits: list[str]) -> str:
    names = sorted({name for split in splits for name in counts[split]})
    lines = [f"| {name} | " + " | ".join(f"{counts[s].get(name, 0):,}" for s in splits) + " |" for name in names]
    return "\n".join(["| task | " + " | ".join(splits) + " |", "|---|" + "---:|" * len(splits), *lines])


def _drops(drops: dict[str, dict[str, int]]) -> str:
    lines = [f"| {name} | {reason} | {n:,} |" for name, reasons in drops.items() for reason, n in reasons.items()]
    return "\n".join(["| task | reason | draws |", "|---|---|---:|", *lines]) if lines else "None."
