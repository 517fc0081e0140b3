"""`python -m tests.real.boards_drawn [DIRECTORY]`: draws the pictures of the dashboards.

It takes a quarter of an hour, because each poll of a week is simulated. Needs Prometheus, promtool,
a browser and npm.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.monitoring.rendered import rendered
from tests.real.boards_drawn import SHOTS
from tests.real.boards_drawn.answers import answered
from tests.real.boards_drawn.drawing import bundled, draw, shrink
from tests.real.boards_drawn.week import simulate, week
from tests.real.browser import chromium
from tests.real.pictures import PICTURES
from tests.real.programs import program


async def main(past: Path, files: list[Path], pictures: Path) -> None:
    """Run the queries of the dashboards on the simulated week, and draw the results."""
    bundle = await bundled()
    async with week(past, files) as database:
        documents = {board.uid: await answered(board, database) for board in rendered()}
    async with chromium(program("chromium")) as browser:
        for shot in SHOTS:
            await draw(browser, bundle, shot, documents[f"flashback-{shot.board}"], pictures)
    await shrink(*(pictures / shot.file for shot in SHOTS))


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else PICTURES
    target = target.absolute()
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as directory:
        simulated = simulate(Path(directory))
        asyncio.run(main(Path(directory), simulated, target))
