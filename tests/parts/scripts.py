"""Programs of ours in Python whose names end in nothing."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

from tests.parts.command import ROOT


def loaded(program: str) -> ModuleType:
    """Import a program of the checkout, as `packaging/release`, without running it."""
    path = ROOT / program
    spec = spec_from_loader(path.name, SourceFileLoader(path.name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
