"""Benchmarks: a recipe names pairs with known truth; predictions are saved; metrics are computed from the file alone.

    recipe --plan--> tasks --predict--> predictions.jsonl of each matcher --results_document--> results.json

The files in between let a long run be resumed, and let metrics change without running any matcher again.
"""

from xmatch.evaluation.methods import Method, methods
from xmatch.evaluation.plan import plan
from xmatch.evaluation.predict import predict, read_predictions
from xmatch.evaluation.recipe import DatasetSpec, EvalRecipe, MatcherSpec, SetSpec
from xmatch.evaluation.results import results_document
from xmatch.evaluation.summary import summarise
from xmatch.evaluation.task import Task

__all__ = [
    "DatasetSpec",
    "EvalRecipe",
    "MatcherSpec",
    "Method",
    "SetSpec",
    "Task",
    "methods",
    "plan",
    "predict",
    "read_predictions",
    "results_document",
    "summarise",
]
