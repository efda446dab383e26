"""What each module may import of other people's packages, and that all of ours is packaged."""

import configparser
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("exodus_certbot", "exodus_common", "exodus_storage_guard")
# Nobody else imports anything but the standard library and our own; most of these do it when they are called.
ALLOWED = {
    "exodus_certbot.certbot.as_certbot": {"certbot"},
    "exodus_certbot.plugin": {"certbot"},
    "exodus_certbot.acme": {"acme", "cryptography", "josepy", "requests"},
    "exodus_certbot.tls.chains": {"cryptography"},
    "exodus_certbot.tls.x509": {"cryptography"},
    "exodus_storage_guard.adapters.celery": {"celery"},
    "exodus_storage_guard.adapters.django": {"django"},
    "exodus_storage_guard.adapters.django.tasks": {"celery"},
    "exodus_storage_guard.adapters.minio": {"minio", "urllib3"},
    "exodus_storage_guard.adapters.minio_objects": {"urllib3"},
    "exodus_storage_guard.adapters.starlette": {"starlette"},
    "exodus_storage_guard.adapters.service": {"jsonschema", "starlette", "uvicorn"},
    "exodus_storage_guard.records.query": {"psycopg"},
    "exodus_storage_guard.state.postgresql": {"psycopg"},
    "exodus_storage_guard.stores.s3.bucket": {"minio", "urllib3"},
    "exodus_storage_guard.stores.s3.pool": {"certifi", "urllib3"},
}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(name) for name in listed.stdout.split()]


def in_package(file: Path) -> Path:
    """Give a file's place below the root that its package lies in."""
    return Path(*file.parts[file.parts[0] == "hooks" :])


def allowed(module: str) -> set[str]:
    return {name for begin, names in ALLOWED.items() if f"{module}.".startswith(f"{begin}.") for name in names}


def foreign(graph: grimp.ImportGraph) -> set[tuple[str, str]]:
    """Give each import of what is neither ours nor the standard library's, and is not allowed."""
    ours = [module for module in graph.modules if module.partition(".")[0] in PACKAGES]
    found = {(module, one) for module in ours for one in graph.find_modules_directly_imported_by(module)}
    known = {*PACKAGES, *sys.stdlib_module_names}
    return {(module, one) for module, one in found if one.partition(".")[0] not in known | allowed(module)}


@pytest.fixture
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        *PACKAGES, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def test_nobody_imports_another_package_than_what_it_is_for(graph: grimp.ImportGraph) -> None:
    assert len(graph.modules) > 150
    assert foreign(graph) == set()


def test_an_import_that_is_not_allowed_is_found(graph: grimp.ImportGraph) -> None:
    graph.add_import(importer="exodus_certbot.deploy", imported="certbot")

    assert foreign(graph) == {("exodus_certbot.deploy", "certbot")}


def test_certbot_loads_the_plugins_module_and_nothing_else_of_ours() -> None:
    told = "import exodus_certbot.plugin, sys; print(*sorted(m for m in sys.modules if m.startswith('exodus')))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", told], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )

    assert done.stdout.split() == ["exodus_certbot", "exodus_certbot.plugin"]


def test_every_folder_of_ours_is_packaged_with_what_lies_in_it() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    files = [in_package(file) for file in tracked("exodus_certbot", "hooks/exodus_*")]
    folders = {".".join(file.parent.parts) for file in files if file.suffix == ".py"}
    data = {
        file
        for package, patterns in setup["options.package_data"].items()
        for file in files
        if any(file.match(str(Path(*package.split("."), pattern))) for pattern in patterns.split())
    }

    assert set(setup["options"]["packages"].split()) == folders
    assert {file for file in files if file.suffix != ".py"} == data
    assert {".".join(file.parent.parts) for file in files if file.name == "__init__.py"} == folders


def test_every_package_is_under_the_contracts() -> None:
    roots = {in_package(path).parts[0] for path in tracked("exodus_*/*.py", "hooks/*.py")}

    assert roots == set(PACKAGES)
    assert f"root_packages = {list(PACKAGES)}".replace("'", '"') in (ROOT / "pyproject.toml").read_text()
