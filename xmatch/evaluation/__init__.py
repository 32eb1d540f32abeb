"""Benchmarks: a recipe names pairs with known truth; predictions are saved; metrics are computed from the file alone.

    recipe --plan--> tasks --predict--> predictions.jsonl --summarise--> results.json

The file in between lets a long run be resumed, and lets metrics change without running any matcher again.
"""

from xmatch.evaluation.plan import EvalRecipe, SetSpec, Task, plan
from xmatch.evaluation.predict import predict, read_predictions
from xmatch.evaluation.summary import summarise

__all__ = ["EvalRecipe", "SetSpec", "Task", "plan", "predict", "read_predictions", "summarise"]
