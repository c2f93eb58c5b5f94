"""Operators on words: counts of n-grams of numbers. Strings have no torch type; models that hold them are refused."""

from __future__ import annotations

import torch

from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor


@operator("TfIdfVectorizer", since=9, note="numbers only, no strings")
def tf_idf(node: NodeContext, x: Tensor) -> Tensor:
    pool = node["pool_int64s"]
    if not pool:
        raise node.error("n-grams of strings have no torch form", allowed="pool_int64s")
    if x.ndim not in (1, 2):
        raise node.input_error(0, "words come as a vector or a matrix", got=list(x.shape))
    indexes, counts = node["ngram_indexes"], node["ngram_counts"]
    words = (x if x.ndim == 2 else x.unsqueeze(0)).to(torch.int64)
    shortest, longest, skips = node["min_gram_length"], node["max_gram_length"], node["max_skip_count"]
    node.check_size([words.shape[0], max(indexes, default=-1) + 1])
    result = torch.zeros((words.shape[0], max(indexes, default=-1) + 1), dtype=torch.float32)
    gram = 0
    for length, (first, last) in enumerate(zip(counts, [*counts[1:], len(pool)], strict=True), 1):
        if not 0 <= first <= last <= len(pool) or (last - first) % length:
            raise node.error("ngram_counts do not divide the pool", got=counts, allowed=f"{len(pool)} elements")
        grams = torch.tensor(pool[first:last], dtype=torch.int64).reshape(-1, length)
        columns = torch.tensor(indexes[gram : gram + len(grams)], dtype=torch.int64)
        gram += len(grams)
        if not shortest <= length <= longest or not len(grams):
            continue
        for skip in range(1 if length == 1 else skips + 1):
            reach = (length - 1) * (skip + 1) + 1
            if reach > words.shape[1]:
                break
            node.check_size([words.shape[0], words.shape[1], len(grams), length])
            windows = words.unfold(1, reach, 1)[..., :: skip + 1]
            hits = (windows.unsqueeze(2) == grams).all(-1).sum(1).to(torch.float32)
            result = result.index_add(1, columns, hits)
    weights = node["weights"]
    if node["mode"] != "TF":
        factor = torch.ones(result.shape[1]) if weights is None else torch.tensor(weights)
        result = (result > 0).to(torch.float32) * factor if node["mode"] == "IDF" else result * factor
    return result if x.ndim == 2 else result.squeeze(0)
