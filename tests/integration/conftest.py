"""Fixtures: a certbot tree, an nginx, our command, all of the test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.nginx import RealNginx, running_nginx

StartNginx = Callable[..., RealNginx]


@pytest.fixture
def certbot_tree(tmp_path: Path) -> CertbotTree:
    """Give an empty certbot folder that issues from an authority of its own."""
    return CertbotTree(tmp_path / "letsencrypt")


@pytest.fixture
def start_nginx(tmp_path: Path) -> Iterator[StartNginx]:
    """Give a function that starts an nginx with some `http` block; all are stopped after the test."""
    with ExitStack() as stack:

        def start(http: str, **options: object) -> RealNginx:
            return stack.enter_context(running_nginx(tmp_path / "nginx", http, **options))  # type: ignore[arg-type]

        yield start


@pytest.fixture
def exodus_certbot(tmp_path: Path) -> ExodusCertbot:
    """Give our command, pointed at the test's nginx and certbot tree."""
    return ExodusCertbot(tmp_path / "nginx/nginx.conf", tmp_path / "letsencrypt", tmp_path / "state")
