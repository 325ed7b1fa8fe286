"""Names of SegFormer's tensors in checkpoints: those of the published weights, whatever transformers calls them now.

transformers 5 renamed the parts of its SegFormer, and still writes the names of version 4 into files. Checkpoints hold
the same: they outlive the next renaming, for which a line of `NAMES` is changed.
"""

from __future__ import annotations

import re

# In the network of the installed transformers, and in files. {i} and {j} are whole numbers.
NAMES = (
    ("segformer.stages.{i}.patch_embeddings.", "segformer.encoder.patch_embeddings.{i}."),
    ("segformer.stages.{i}.blocks.{j}.", "segformer.encoder.block.{i}.{j}."),
    ("segformer.stages.{i}.layer_norm.", "segformer.encoder.layer_norm.{i}."),
    (".attention.sequence_reduction.sequence_reduction.", ".attention.self.sr."),
    (".attention.sequence_reduction.layer_norm.", ".attention.self.layer_norm."),
    (".attention.q_proj.", ".attention.self.query."),
    (".attention.k_proj.", ".attention.self.key."),
    (".attention.v_proj.", ".attention.self.value."),
    (".attention.o_proj.", ".attention.output.dense."),
    (".layernorm_before.", ".layer_norm_1."),
    (".layernorm_after.", ".layer_norm_2."),
    (".mlp.fc1.", ".mlp.dense1."),
    (".mlp.fc2.", ".mlp.dense2."),
    ("decode_head.linear_projections.", "decode_head.linear_c."),
)


def _rule(old: str, new: str) -> tuple[re.Pattern[str], str]:
    pattern = re.escape(old)
    for number in ("i", "j"):
        pattern = pattern.replace(rf"\{{{number}\}}", rf"(?P<{number}>\d+)")
        new = new.replace(f"{{{number}}}", rf"\g<{number}>")
    return re.compile(pattern), new


TO_FILE = [_rule(ours, theirs) for ours, theirs in NAMES]
FROM_FILE = [_rule(theirs, ours) for ours, theirs in NAMES]


def in_file(name: str) -> str:
    """The name in files of a tensor of the network; one that is in files already stays."""
    return _renamed(name, TO_FILE)


def in_network(name: str) -> str:
    """The name in the network of a tensor of a file; one that is the network's already stays."""
    return _renamed(name, FROM_FILE)


def _renamed(name: str, rules: list[tuple[re.Pattern[str], str]]) -> str:
    for pattern, new in rules:
        name = pattern.sub(new, name, count=1)
    return name
