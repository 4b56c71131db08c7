"""An address where no cluster listens is told at once: Ray itself would try for minutes."""

from __future__ import annotations

import socket

import pytest

from anytag.distributed.on_ray import knock
from anytag.errors import UsageError


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_where_somebody_listens_and_where_nobody_does(form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = form.format(server.getsockname()[1])
        knock(address)
        server.accept()[0].close()
    with pytest.raises(UsageError, match=f"no Ray at {address}: .*refused"):
        knock(address)


def test_a_port_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"no Ray at head:99999: .*[Pp]ort"):
        knock("head:99999")


@pytest.mark.parametrize("address", ["local", "auto", "head"])
def test_what_only_ray_knows_is_left_to_it(address: str) -> None:
    knock(address)
