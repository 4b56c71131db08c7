"""Which threads compute: a model's own, and beside it only such as have ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serve.servers import Running, running
from torch.nn.modules.module import register_module_forward_pre_hook

from anytag.serve.aside import aside


@pytest.fixture
def computed() -> Iterator[set[threading.Thread]]:
    """Threads in which any layer of any network has run."""
    threads: set[threading.Thread] = set()

    def note(*_: Any) -> None:
        threads.add(threading.current_thread())

    hook = register_module_forward_pre_hook(note)
    yield threads
    hook.remove()


def names(threads: set[threading.Thread], *, alive: bool) -> set[str]:
    return {thread.name.partition("_")[0] for thread in threads if thread.is_alive() is alive}


def ask_for_all(client: Running, data: bytes, number: int) -> None:
    """Whatever a server makes for some requests alone; none of it has been asked for before."""
    files = {"image": data}
    own = client.tag(data, tags=[f"thing {number}"])
    beside = client.tag(data, tags=[f"thing {number}"], extend=True)
    batch = client.post("/v1/tag/batch", files={"images": data}, data={"tags": f"stuff {number}"})
    asked = {"tag": f"thing {number}", "method": "gradient"}
    explained = client.post("/v1/explain", files=files, data=asked)
    guide = {"model": "tag2text", "tags": [f"thing {number}"]}
    caption = client.post("/v1/caption", files=files, data=guide)
    answers = (own, beside, batch, explained, caption)
    assert [answer.status_code for answer in answers] == [200] * 5


def test_no_thread_but_the_models_own_has_computed_and_stays(
    seeing_model: Path,
    released_models: dict[str, Path],
    computed: set[threading.Thread],
    data: bytes,
) -> None:
    models = {"seeing": seeing_model, "tag2text": released_models["tag2text"]}
    with running(models, decoders=3) as client:
        # loading and the first pass of each
        assert names(computed, alive=True) == set()
        assert names(computed, alive=False) == {"anytag-aside"}
        for number in range(3):
            ask_for_all(client, data, number)
        assert names(computed, alive=True) == {"anytag-model-seeing", "anytag-model-tag2text"}
        assert names(computed, alive=False) == {"anytag-aside"}


def test_what_is_made_aside_comes_from_a_thread_that_has_ended() -> None:
    thread = aside(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_errors_come_from_aside_too() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        aside(fail)
