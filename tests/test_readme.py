"""The README tells the truth about settings and commands."""

from gateway.settings import Settings
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()


def test_every_setting_is_in_the_table_with_its_meaning():
    for name, field in Settings.model_fields.items():
        row = next((line for line in README.splitlines() if line.startswith(f"| `SIXPOINT_{name.upper()}`")), "")
        assert row.endswith(f"| {field.description} |"), name


def test_every_make_target_it_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "serve", "test", "lint", "protos", "setup-dev"):
        assert f"make {target}" in README
        assert f"\n{target}:" in makefile
