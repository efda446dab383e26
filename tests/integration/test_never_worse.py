"""What is loaded is no worse than what is served, and what is as it was before is in nobody's way."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import Authority, CertbotTree, key_pem, new_key
from tests.parts.command import ExodusCertbot, Ran
from tests.parts.configuration import server, workers_as_myself
from tests.parts.ports import free_port
from tests.parts.witness import all_served_sha256, disk_sha256

NAME, OTHER = "exodus.example", "other.example"
ONLY_RSA = "ssl_protocols TLSv1.2{more}; ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384;"
TEN_DAYS = timedelta(days=10)


def _renewed(tree: CertbotTree, name: str, chain: bytes, *, authority: Authority | None = None) -> Path:
    """Write the next version of a lineage with some chain."""
    key = new_key()
    leaf = (authority or tree.authority).leaf_pem(key, (name,))
    return tree.write(name, leaf=leaf, chain=chain, key=key_pem(key))


def _assert_not_loaded(done: Ran, port: int, name: str, served: str, *said: str) -> None:
    assert (done.exit_code, done.json["verdict"], done.json["reloaded"]) == (1, "critical", False)
    assert [text for text in said if text not in done.json["reason"]] == [], done.json["reason"]
    assert all_served_sha256(port, name) == {served}


def _assert_loaded(done: Ran, port: int, name: str, new: Path) -> None:
    assert (done.exit_code, done.json["reloaded"]) == (0, True), done.json["reason"]
    assert all_served_sha256(port, name) == {disk_sha256(new)}


# --- a key that the listener cannot use ---


@pytest.mark.parametrize("more", ["", " TLSv1.3"], ids=["TLS 1.2", "TLS 1.2 and 1.3"])
def test_an_ecdsa_key_is_not_loaded_where_ssl_ciphers_is_for_rsa_alone(
    more: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME, key_type="rsa"), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage, more=ONLY_RSA.format(more=more)))
    served = disk_sha256(lineage)
    certbot_tree.issue(NAME, key_type="ecdsa")

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    said = f"ssl_ciphers of {NAME} leaves no suite for ecdsa keys with TLSv1.2"
    remedy = f"certbot renew --cert-name {NAME} --key-type rsa --force-renewal"
    _assert_not_loaded(deployed, port, NAME, served, said, remedy)
    certbot_tree.issue(NAME, key_type="rsa")
    _assert_loaded(exodus_certbot("reconcile", "--json"), port, NAME, lineage)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "ssl_protocols TLSv1.2; ssl_conf_command CipherString ECDHE-RSA-AES128-GCM-SHA256;",
            "leaves no suite for ecdsa keys with TLSv1.2",
        ),
        ("ssl_conf_command SignatureAlgorithms RSA-PSS+SHA256:RSA+SHA256;", "leaves no suite for ecdsa keys with"),
        ("ssl_conf_command SignatureAlgorithms RSA-PSS+SHA256:ed448:ECDSA+SHA256;", "cannot be told here"),
    ],
    ids=["suites", "signatures", "not known"],
)
def test_an_ecdsa_key_is_not_loaded_where_ssl_conf_command_may_be_for_rsa_alone(
    more: str, said: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME, key_type="rsa"), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage, more=more))
    served = disk_sha256(lineage)
    certbot_tree.issue(NAME, key_type="ecdsa")

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    remedy = f"certbot renew --cert-name {NAME} --key-type rsa --force-renewal"
    _assert_not_loaded(deployed, port, NAME, served, f"ssl_conf_command of {NAME}", said, remedy)
    certbot_tree.issue(NAME, key_type="rsa")
    _assert_loaded(exodus_certbot("reconcile", "--json"), port, NAME, lineage)


BY_COMMAND = "ssl_conf_command SignatureAlgorithms RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256:ECDSA+SHA384;"


@pytest.mark.parametrize("more", ["", BY_COMMAND, "ssl_protocols TLSv1.3; ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256;"])
def test_an_ecdsa_key_is_loaded_in_place_of_an_rsa_key_where_it_can_be_used(
    more: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME, key_type="rsa"), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage, more=more))
    certbot_tree.issue(NAME, key_type="ecdsa")

    _assert_loaded(exodus_certbot("deploy", "--lineage", str(lineage), "--json"), port, NAME, lineage)


# --- chains ---


def test_a_leaf_that_was_signed_with_pss_is_loaded(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    pss = Authority(intermediate_key=new_key("rsa"), pss=True)
    _renewed(certbot_tree, NAME, pss.chain_pem, authority=pss)

    _assert_loaded(exodus_certbot("deploy", "--lineage", str(lineage), "--json"), port, NAME, lineage)


@pytest.mark.parametrize(
    ("age", "said"), [(timedelta(days=910), "that expired on"), (timedelta(days=-1), "that is not valid before")]
)
def test_a_chain_with_an_intermediate_that_is_not_valid_is_not_loaded_in_place_of_a_good_one(
    age: timedelta, said: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    served = disk_sha256(lineage)
    _renewed(certbot_tree, NAME, certbot_tree.authority.chain_of_age(age, timedelta(days=900)))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    what = f"the chain in {lineage}/fullchain.pem has an intermediate certificate (CN=Test Intermediate) {said}"
    _assert_not_loaded(deployed, port, NAME, served, what, f"certbot renew --cert-name {NAME} --force-renewal")


def _odd_chain(tree: CertbotTree, kind: str) -> bytes:
    ended = tree.authority.chain_of_age(timedelta(days=900) + TEN_DAYS, timedelta(days=900))
    odd = {"mixed": tree.authority.root_pem + tree.authority.chain_pem, "broken": tree.authority.root_pem}
    return odd.get(kind, ended)


@pytest.mark.parametrize("kind", ["mixed", "broken", "ended"])
def test_a_chain_that_is_as_odd_as_the_one_that_is_sent_is_in_nobodys_way(
    kind: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    odd = _renewed(certbot_tree, OTHER, _odd_chain(certbot_tree, kind))
    lineage, port = certbot_tree.issue(NAME), free_port()
    listen = f"127.0.0.1:{port} ssl"
    start_nginx(server(listen, NAME, lineage) + server(listen, OTHER, odd))

    certbot_tree.issue(NAME)
    _assert_loaded(exodus_certbot("deploy", "--lineage", str(lineage), "--json"), port, NAME, lineage)
    _renewed(certbot_tree, OTHER, _odd_chain(certbot_tree, kind))
    _assert_loaded(exodus_certbot("deploy", "--lineage", str(odd), "--json"), port, OTHER, odd)


@pytest.mark.parametrize("flags", ["ssl", "ssl proxy_protocol"])
def test_a_fullchain_that_never_had_its_chain_is_in_nobodys_way(
    flags: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, short = certbot_tree.issue(NAME), certbot_tree.issue(OTHER)
    (short / "fullchain.pem").write_bytes((short / "cert.pem").read_bytes())
    listen = f"127.0.0.1:{free_port()} {flags}"
    start_nginx(server(listen, NAME, lineage) + server(listen, OTHER, short))
    certbot_tree.issue(NAME)

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True), deployed.json["reason"]


def test_a_chain_that_became_worse_behind_a_leaf_that_did_not_change_is_not_loaded(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, other, port = certbot_tree.issue(NAME), certbot_tree.issue(OTHER), free_port()
    listen, served = f"127.0.0.1:{port} ssl", disk_sha256(lineage)
    start_nginx(server(listen, NAME, lineage) + server(listen, OTHER, other))
    leaf = (other / "cert.pem").read_bytes()
    (other / "fullchain.pem").write_bytes(leaf + _odd_chain(certbot_tree, "mixed"))
    certbot_tree.issue(NAME)

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    out_of_order = f"the chain in {other}/fullchain.pem is out of order"
    waits = f"so {NAME} must wait for {OTHER}"
    remedy = f"certbot renew --cert-name {OTHER} --force-renewal"
    _assert_not_loaded(deployed, port, NAME, served, out_of_order, waits, remedy)


def test_a_file_that_nginx_opens_at_each_handshake_is_in_nobodys_way(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, late, port = certbot_tree.issue(NAME), certbot_tree.issue(OTHER), free_port()
    listen = f"127.0.0.1:{port} ssl"
    by_name = Path(str(late).replace(OTHER, "$ssl_server_name"))
    start_nginx(server(listen, NAME, lineage) + server(listen, OTHER, by_name), main=workers_as_myself())
    (late / "fullchain.pem").write_bytes((late / "cert.pem").read_bytes())
    certbot_tree.issue(NAME)

    _assert_loaded(exodus_certbot("deploy", "--lineage", str(lineage), "--json"), port, NAME, lineage)


def test_a_trusted_certificate_is_deployed_as_any_other(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    certbot_tree.issue(NAME)
    new = disk_sha256(lineage)
    command = ["openssl", "x509", "-trustout", "-addtrust", "serverAuth"]
    leaf, rest = (lineage / "cert.pem").read_bytes(), (lineage / "chain.pem").read_bytes()
    trusted = subprocess.run(command, input=leaf, capture_output=True, check=True, timeout=20).stdout
    (lineage / "fullchain.pem").write_bytes(trusted + rest)

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True), deployed.json["reason"]
    assert all_served_sha256(port, NAME) == {new}


# --- one bad lineage holds up itself alone, as far as one nginx goes ---


def _ended(tree: CertbotTree, name: str, names: tuple[str, ...] = ()) -> Path:
    return tree.issue(name, names, lifetime=timedelta(days=1), age=timedelta(days=3))


@pytest.mark.parametrize(
    ("left", "said"),
    [(timedelta(hours=-2), "could not wait (expired 2 h"), (timedelta(hours=24), "could not wait (had only 23 h")],
    ids=["ended", "ends within a day"],
)
def test_what_cannot_wait_is_loaded_though_another_lineage_got_worse(
    left: timedelta, said: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, other = certbot_tree.issue(NAME, lifetime=TEN_DAYS, age=TEN_DAYS - left), certbot_tree.issue(OTHER)
    port = free_port()
    start_nginx("".join(server(f"127.0.0.1:{port} ssl", live.name, live) for live in (lineage, other)))
    certbot_tree.issue(NAME)
    _ended(certbot_tree, OTHER)

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")
    looked = exodus_certbot("check", "--json")

    assert (deployed.exit_code, deployed.json["verdict"], deployed.json["reloaded"]) == (1, "critical", True)
    assert all_served_sha256(port, NAME) == {disk_sha256(lineage)}
    worse, remedy = f"{other}/fullchain.pem expired on", f"certbot renew --cert-name {OTHER} --force-renewal"
    for text in ("loaded in spite of it", worse, f"{NAME} {said}", remedy):
        assert text in deployed.json["reason"]
    assert looked.listed("name", "verdict") == [(NAME, "ok"), (OTHER, "expired")]


def test_what_ends_later_waits_for_another_lineage_that_got_worse(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, other = certbot_tree.issue(NAME, lifetime=timedelta(hours=30)), certbot_tree.issue(OTHER)
    port, served = free_port(), disk_sha256(other)
    start_nginx("".join(server(f"127.0.0.1:{port} ssl", live.name, live) for live in (lineage, other)))
    certbot_tree.issue(NAME)
    _ended(certbot_tree, OTHER)

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    _assert_not_loaded(deployed, port, OTHER, served, f"{NAME} must wait for {OTHER}")


def test_what_nginx_would_not_load_is_not_tried_for_what_cannot_wait(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, other = _ended(certbot_tree, NAME), certbot_tree.issue(OTHER)
    port, served = free_port(), disk_sha256(lineage)
    start_nginx("".join(server(f"127.0.0.1:{port} ssl", live.name, live) for live in (lineage, other)))
    certbot_tree.issue(NAME)
    leaf = certbot_tree.authority.leaf_pem(new_key(), (OTHER,))
    certbot_tree.write(OTHER, leaf=leaf, chain=certbot_tree.authority.chain_pem, key=key_pem(new_key()))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    _assert_not_loaded(deployed, port, NAME, served, "does not belong to the certificate")


def test_a_certificate_that_clients_accept_is_loaded_in_place_of_one_that_ended_with_more_names(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = _ended(certbot_tree, NAME, (NAME, OTHER)), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", f"{NAME} {OTHER}", lineage))
    certbot_tree.issue(NAME)

    _assert_loaded(exodus_certbot("deploy", "--lineage", str(lineage), "--json"), port, NAME, lineage)
