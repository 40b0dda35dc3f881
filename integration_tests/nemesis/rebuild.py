"""The worst disaster: everything is lost but the record, and is made again as the page says."""

import json
import os
import random
import subprocess
import sys
import time

from integration_tests.nemesis.scene import FaultError, Scene
from integration_tests.nemesis.schedule import Act
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.importing.endpoints import ENDPOINTS_VARIABLE

COMMAND_SECONDS = 180.0
ALLOW = {"MARKET_SUPERVISION_LIFECYCLE__REBUILD": "allow"}
KILLED = "killed"
"""Target of the act: workers are killed while they rebuild."""
KILLS = 3


def lose_everything_but_the_record(scene: Scene, act: Act) -> None:
    """Local stores, changelog and Redis are gone; workers rebuild; nothing may be published twice.

    The operator's own command deletes the changelog (`msctl rebuild start`).
    """
    stage = scene.stage
    for name in stage.workers:
        stage.take_down(name, grace=True)
        stage.delete_store(name)
    stage.redis_client().flushall()
    _rebuild_start(scene)
    stage.system.extra = {**stage.system.extra, **ALLOW}
    for name in stage.workers:
        stage.bring_up(name)
    if act.target == KILLED:
        rng = random.Random(f"rebuild/{scene.seed}")
        for _ in range(KILLS):
            time.sleep(rng.uniform(2.0, 5.0))
            with stage.lock:
                stage.system.process(rng.choice(stage.workers)).kill()


def _rebuild_start(scene: Scene) -> None:
    endpoints = json.dumps({"kafka": scene.stage.bootstrap})
    environment = os.environ | {
        ENDPOINTS_VARIABLE: endpoints,
        TOPIC_PREFIX_VARIABLE: scene.stage.prefix,
    }
    answer = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "rebuild", "start", "--yes"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if answer.returncode != 0:
        message = f"msctl rebuild start ended with {answer.returncode}: {answer.stderr[-500:]}"
        raise FaultError(message)
