"""The plugin's work is done at every `certbot renew`, whatever becomes of other lineages, and after all hooks."""

from pathlib import Path

import pytest

from tests.parts.authority import Authority, key_pem, new_key
from tests.parts.nginx import NGINX
from tests.parts.site import NAME, Site

FAILED = 1
LAST = "zebra.example"


def renew_unnoticed(site: Site, name: str = NAME) -> None:
    """Write a lineage's next version and point its links to it, as a renewal does that nobody was told of."""
    authority, key = Authority(), new_key()
    leaf = authority.leaf_pem(key, (name,))
    files = {
        "cert": leaf,
        "chain": authority.chain_pem,
        "fullchain": leaf + authority.chain_pem,
        "privkey": key_pem(key),
    }
    for kind, content in files.items():
        link = site.certbot.live(name) / f"{kind}.pem"
        target = Path(f"../../archive/{name}/{kind}9.pem")
        (link.parent / target).write_bytes(content)
        link.unlink()
        link.symlink_to(target)


def edit(site: Site, name: str, old: str, new: str) -> None:
    file = site.certbot.renewal_file(name)
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def make_due(site: Site, name: str) -> None:
    edit(site, name, "version =", "renew_before_expiry = 9000 days\nversion =")


@pytest.fixture
def two(site: Site) -> Site:
    """Serve two lineages of the plugin, of which the first is stale."""
    site.certbot.clone_lineage(NAME, LAST)
    site.certbot.use_plugin(NAME, LAST)
    site.serve((NAME, LAST))
    renew_unnoticed(site)
    return site


def test_a_stale_lineage_is_repaired_though_the_last_one_fails_its_challenge(two: Site) -> None:
    make_due(two, LAST)
    edit(two, LAST, str(two.certbot.webroot), str(two.certbot.folder / "elsewhere"))

    renewed = two.certbot.renew(force=False)

    assert renewed.exit_code == FAILED
    assert "Failed to renew certificate zebra.example" in renewed.all_output
    assert two.served() == {two.on_disk()}
    assert two.nginx.reloads == 1


def plain_files(site: Site) -> None:
    for link in site.certbot.live(LAST).glob("*.pem"):
        content = link.read_bytes()
        link.unlink()
        link.write_bytes(content)


def dangling_key(site: Site) -> None:
    (site.certbot.live(LAST) / "privkey.pem").resolve().unlink()
    site.write()  # with it nginx would accept no configuration at all


def no_authenticator(site: Site) -> None:
    edit(site, LAST, "authenticator = webroot\n", "")


def other_name(site: Site) -> None:
    site.certbot.renewal_file(LAST).rename(site.certbot.renewal_file("zoo.example"))


@pytest.mark.parametrize("spoil", [plain_files, dangling_key, no_authenticator])
def test_a_stale_lineage_is_repaired_though_certbot_passes_over_the_last_one(spoil: object, two: Site) -> None:
    assert callable(spoil)
    spoil(two)

    renewed = two.certbot.renew(force=False)

    assert renewed.exit_code == FAILED
    assert two.served() == {two.on_disk()}
    assert two.nginx.reloads == 1


def test_a_lineage_whose_renewal_file_has_another_name_is_repaired_too(two: Site) -> None:
    other_name(two)
    renew_unnoticed(two, LAST)

    renewed = two.certbot.renew(force=False)

    assert renewed.exit_code == 0, renewed.all_output
    for name in (NAME, LAST):
        assert two.served(name) == {two.on_disk(name)}
    assert two.nginx.reloads == 1


def test_a_stale_lineage_is_repaired_though_its_own_renewal_fails(site: Site) -> None:
    site.certbot.use_plugin(NAME)
    renew_unnoticed(site)
    make_due(site, NAME)
    edit(site, NAME, str(site.certbot.webroot), str(site.certbot.folder / "elsewhere"))

    renewed = site.certbot.renew(force=False)

    assert renewed.exit_code == FAILED
    assert site.served() == {site.on_disk()}


def with_hooks(site: Site, post_hook: str) -> None:
    """Have certbot answer its challenges itself, on nginx's port, while a pre-hook keeps nginx stopped."""
    site.certbot.use_plugin(NAME)
    stop = site.certbot.folder / "stop-nginx"
    pid = site.nginx.pid_file
    stop.write_text(f"#!/bin/sh\nkill $(cat {pid}) || exit\nwhile [ -e {pid} ]; do sleep 0.05; done\n")
    stop.chmod(0o755)
    more = f"http01_port = {site.http_port}\npre_hook = {stop}\npost_hook = {post_hook}\n"
    edit(site, NAME, "authenticator = webroot\n", f"authenticator = standalone\n{more}")


def test_hooks_that_stop_and_start_nginx_let_certbot_succeed_once_the_new_certificate_is_served(site: Site) -> None:
    with_hooks(site, f"{NGINX} -c {site.nginx.conf} >/dev/null 2>&1")
    before = site.on_disk()

    renewed = site.certbot.renew(quiet=True)

    assert (renewed.exit_code, renewed.all_output) == (0, "")
    assert site.served() == {site.on_disk()} != {before}


def test_a_post_hook_that_does_not_start_nginx_again_makes_certbot_fail_and_say_so(site: Site) -> None:
    with_hooks(site, "true")

    renewed = site.certbot.renew(quiet=True)

    assert renewed.exit_code == FAILED
    said = " ".join(renewed.stderr.split())
    assert "nginx is not proven to serve the certificate that certbot has saved" in said
    assert "not running" in said
    logged = "".join(log.read_text() for log in (site.certbot.folder / "certbot-logs").glob("*.log*"))
    assert "nginx is not proven to serve" in logged
    assert not list(site.certbot.config_dir.rglob(".certbot.lock"))
