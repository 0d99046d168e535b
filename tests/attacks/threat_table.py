"""The table of attacks in docs/threat-model.md, made from what the attacks lead to.

``python -m tests.attacks.threat_table`` stages them all and writes it.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.attacks.staged import ATTACKS, MACHINE, Attack, Seen, Stage
from tests.attacks.world import World, by_model, staged_world
from tests.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "threat-model.md"
BEGIN, END = "<!-- attacks: begin -->\n", "<!-- attacks: end -->\n"
HEAD = (
    "| attack | the attacker has | seen with | what is said | and without that |\n"
    "|---|---|---|---|---|\n"
)


def stage_all(world: World, places: Iterator[Path]) -> dict[str, Seen]:
    """What is said of each attack, by its name."""
    good = world.bundle(by_model())
    return {attack.name: attack.deed(Stage(world, good, next(places))) for attack in ATTACKS}


def brief(said: str, attack: Attack) -> str:
    """The part of what is said that is about the attack."""
    if said.startswith("REFUSED"):
        return said
    completeness, _, assurance = said.partition(" | ")
    if attack.has == MACHINE:
        return completeness
    parts = [part for part in assurance.split("; ") if "NOT met" in part or "asserted" in part]
    return "; ".join(part for part in parts if "NOT met" in part) or "; ".join(parts)


def render(seen: Mapping[str, Seen]) -> str:
    """The table as the page has it."""
    rows = []
    for attack in ATTACKS:
        found = seen[attack.name]
        without = brief(found.without, attack) if found.without else ""
        said = ". ".join(filter(None, (brief(found.said, attack), found.by)))
        cells = [attack.name, attack.has, attack.takes, said, without]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return HEAD + "".join(rows)


def written() -> str:
    """The table that the page has now."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Stage everything and write the table into the page."""
    with tempfile.TemporaryDirectory() as directory:
        places = (Path(directory) / f"attack{n}" for n in range(1000))

        def made() -> Iterator[Path]:
            for place in places:
                place.mkdir()
                yield place

        world = staged_world(Path(directory) / "world")
        table = render(stage_all(world, made()))
        world.close()
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + table + END + after)


if __name__ == "__main__":
    main()
