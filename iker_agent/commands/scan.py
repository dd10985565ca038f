"""`iker scan`: colour and depth pictures of an object on the marker board become an object for tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iker_agent.commands.options import named_path
from iker_agent.plain_text import echo


def scan(
    source: Annotated[
        Path, typer.Argument(parser=named_path, metavar="FOLDER", help="Folder with scan.yaml and its pictures.")
    ],
    name: Annotated[str, typer.Option(help="What the object is called in tasks.")],
    out: Annotated[
        Path, typer.Option(parser=named_path, metavar="DIR", help="Folder whose objects.yaml gets the entry.")
    ] = Path(),
    mass_kg: Annotated[float | None, typer.Option(help="Weighed mass; without it, a guess from the volume.")] = None,
    friction: Annotated[float, typer.Option(help="Of its surface.")] = 0.6,
    front_deg: Annotated[
        float, typer.Option(help="Where its front points, counter-clockwise from the board's right edge.")
    ] = 0.0,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an object of this name.")] = False,
) -> None:
    """Scan an object: a watertight mesh at true scale, its convex parts, keypoints, a guess of its mass, an entry.

    Put it into the middle of the board (iker board), its front towards the right edge, and go once around it. Writes
    NAME.obj, NAME.jpg (look at it) and the entry in objects.yaml, which every task beside it accepts. For example:

        iker scan recordings/mug --name mug --out my_tasks --mass-kg 0.35
    """
    import numpy as np

    from iker_agent.atomic import replace_file
    from iker_agent.authoring.scan_sheet import scan_sheet
    from iker_agent.authoring.scanned import check_object, make_object, save
    from iker_envs.perception.scan import scan_object
    from iker_envs.perception.scan_folder import load_scan

    pictures = load_scan(source)
    scanned = scan_object(pictures, float(np.deg2rad(front_deg)), progress=echo)
    for picture, why in scanned.left_out.items():
        echo(f"left out {picture}: {why}")
    made = make_object(scanned, name, mass_kg, friction)
    model = save(made, out, replace=replace)
    notes = [f"it fills {100 * made.fill:.0f} % of its box", *check_object(model, echo)]
    if mass_kg is None:
        notes.append(f"its mass, {model.mass_kg:g} kg, is a guess from its volume; weigh it and pass --mass-kg")
    sheet = scan_sheet(made, model, pictures, scanned.used, notes)
    replace_file(out / f"{name}.jpg", lambda path: sheet.save(path, quality=85))
    for note in notes:
        echo(f"note: {note}")
    size = " x ".join(f"{100 * s:.1f}" for s in model.size_m)
    echo(f"{name}: {size} cm, {model.shape}; saved {out / f'{name}.obj'}, its entry in {out / 'objects.yaml'}")
    echo(f"contact sheet: {out / f'{name}.jpg'}")
