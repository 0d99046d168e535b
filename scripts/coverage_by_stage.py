"""Print branch coverage per stage from the data of the last test run."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path


def main() -> None:
    """Convert to JSON in memory, add up per folder of the package."""
    run = [sys.executable, "-m", "coverage"]
    out = subprocess.run([*run, "json", "-q", "-o", "-"], check=False, capture_output=True)
    if out.returncode != 0:
        print("coverage: no data")
        return
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for name, data in json.loads(out.stdout)["files"].items():
        parts = Path(name).parts
        inside = parts[parts.index("affidavit") + 1 :]
        stage = inside[0] if len(inside) > 1 else "foundations"
        summary = data["summary"]
        for stage_name in (stage, "all"):
            row = totals[stage_name]
            row[0] += summary["covered_lines"]
            row[1] += summary["num_statements"]
            row[2] += summary["covered_branches"]
            row[3] += summary["num_branches"]
    print(f"{'stage':<14}{'lines':>8}{'branches':>10}")
    for stage, (lines, of_lines, branches, of_branches) in sorted(totals.items()):
        share = 100 * branches / of_branches if of_branches else 100.0
        print(f"{stage:<14}{100 * lines / max(of_lines, 1):7.1f}%{share:9.1f}%")


if __name__ == "__main__":
    main()
