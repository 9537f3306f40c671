"""What `make mutants` found: every mutant that no test caught, and the share of those that were, file by file."""

import sys
from collections import Counter

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome

LOWEST = {"nst_keras/objective.py": 90, "nst_keras/descent.py": 90}  # per cent; 85 elsewhere

made, caught = Counter(), Counter()
with use_db("mutants.sqlite", WorkDB.Mode.open) as database:
    for item, result in database.completed_work_items:
        if result.worker_outcome != WorkerOutcome.NORMAL:  # left out, or no valid code: cr-rate counts these as caught
            continue
        path = item.mutations[0].module_path
        made[path] += 1
        if result.test_outcome == TestOutcome.KILLED:
            caught[path] += 1
        else:
            print(result.diff, end="\n\n")
for path in made:
    print(f"{path}: {caught[path]} of {made[path]} mutants caught, {caught[path] / made[path]:.1%}")
sys.exit(not made or any(100 * caught[path] < LOWEST.get(str(path), 85) * made[path] for path in made))
