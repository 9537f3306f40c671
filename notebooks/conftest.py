"""How `pytest --nbval` compares the stored outputs: a number after ≈ roughly, everything else exactly.

The last digits of a long sum differ between machines. A number printed after ≈ may differ by a fifth of the stored one.
A comment in the cell can name another tolerance: `# within 5 %` of the stored number, or `# within 0.05`.
"""

import re

from nbval.plugin import IPyNbCell

NUMBER = re.compile(r"(?<=≈)\s*-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
TOLERANCE = re.compile(r"# within (\d+(?:\.\d+)?)( ?%)?")
compare_exactly = IPyNbCell.compare_outputs


def agree(fresh, stored, source):
    """Whether two texts are the same, apart from numbers after ≈ that lie within the tolerance of the cell."""
    named = TOLERANCE.search(source)
    tolerance, percent = (float(named[1]), named[2]) if named else (20.0, "%")
    pairs = zip(map(float, NUMBER.findall(fresh)), map(float, NUMBER.findall(stored)), strict=False)
    return NUMBER.sub("#", fresh) == NUMBER.sub("#", stored) and all(
        abs(one - other) <= tolerance * (abs(other) / 100 if percent else 1) for one, other in pairs
    )


def compare_outputs(self, test, ref, skip_compare=None):
    """Take the stored text where the fresh one agrees with it, then compare as nbval does."""
    for fresh, stored in zip(test, ref, strict=False):
        for key, one, other in (
            ("text", fresh, stored),
            ("text/plain", fresh.get("data", {}), stored.get("data", {})),
        ):
            if key in one and key in other and agree(one[key], other[key], self.cell.source):
                one[key] = other[key]
    return compare_exactly(self, test, ref, skip_compare)


IPyNbCell.compare_outputs = compare_outputs
