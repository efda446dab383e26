"""Fixtures: a certbot tree, an nginx, our command, all of the test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parts.authority import CertbotTree
from tests.parts.certbot import certbots
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import workers_as_myself
from tests.parts.nginx import RealNginx, running_nginx
from tests.parts.site import Issued, Site, issued_with

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
    """Give our command, pointed at the test's nginx and certbot tree, which are empty at first."""
    command = ExodusCertbot(tmp_path / "nginx/nginx.conf", tmp_path / "letsencrypt", tmp_path / "state")
    for folder in (command.conf.parent, command.certbot_dir):
        folder.mkdir(exist_ok=True)
    command.conf.touch()
    return command


# The oldest and the newest are the pair of the matrix that `make test` has.
CERTBOTS = [pytest.param(version, marks=[pytest.mark.full] * (version == "4.0.0")) for version in certbots()]


_WITH_BOTH = (
    "test_renews_reloads_once_and_proves_it",
    "test_certbot_fails_while_nginx_is_broken_and_everything_is_repaired_once_it_is_mended",
    "test_a_renewal_that_is_not_due_repairs_a_stale_listener_and_asks_for_no_certificate",
    "test_the_new_certificate_is_served_when_certbot_returns",
    "test_a_broken_configuration_keeps_the_old_certificate_until_it_is_mended",
    "test_a_renewal_reloads_nginx_once_its_lineage_is_adopted",
    "test_a_stale_lineage_is_repaired_though_the_last_one_fails_its_challenge",
    "test_a_post_hook_that_does_not_start_nginx_again_makes_certbot_fail_and_say_so",
)
"""What `make test` asks of the oldest as well: each renewal takes seconds, all of it is in `make test-all`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Leave the rest of what the oldest certbot issued to the full run."""
    for item in items:
        with_oldest = hasattr(item, "callspec") and item.callspec.params.get("issued") == "2.1.0"
        if with_oldest and item.originalname not in _WITH_BOTH:
            item.add_marker(pytest.mark.full)


@pytest.fixture(scope="session", params=CERTBOTS)
def issued(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issued]:
    """Issue one certificate with each certbot."""
    with issued_with(certbots()[request.param], tmp_path_factory.mktemp("issued")) as found:
        yield found


@pytest.fixture
def site(issued: Issued, tmp_path: Path, start_nginx: StartNginx, exodus_certbot: ExodusCertbot) -> Site:
    """Serve a copy of what was issued."""
    site = Site.copied_from(issued, tmp_path, exodus_certbot)
    start_nginx(site.configuration(), main=workers_as_myself())
    return site
