"""Under torchrun: three steps on each rank's own batches; the first rank saves the weights and losses."""

import sys

import torch
from stubs import Tiny

from xmatch.recipe import load_recipe
from xmatch.training.distributed import joined
from xmatch.training.feed import batches
from xmatch.training.phases import Phases
from xmatch.training.recipe import PretrainRecipe
from xmatch.training.run import Run

if __name__ == "__main__":
    path, output = sys.argv[1:]
    recipe = load_recipe(path, PretrainRecipe)
    device = torch.device("cpu")
    with joined(device) as processes:
        run = Run(recipe, Tiny(), Tiny().config(None, recipe.model.config), device, processes)
        draw = batches(recipe, ".", processes.rank, device)
        asked = []
        for number in range(3):
            run.advance(draw(number), Phases(device))
            asked.append(processes.any_of([number == 2 and processes.rank == 1], device))
        if processes.writes:
            torch.save({"model": run.model.state_dict(), "losses": run.means(), "asked": asked}, output)
