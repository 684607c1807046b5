"""The house: what is packaged, who imports whom, what the lock holds, and a wheel that works elsewhere."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ORDER = ("data", "models", "inference", "figures", "cli")  # each imports only from those before it
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def package_folders():
    return sorted(path.parent for folder in ORDER for path in (ROOT / folder).rglob("__init__.py"))


def test_every_folder_with_an_init_is_packaged():
    setuptools = PROJECT["tool"]["setuptools"]
    mapped = {name: setuptools["package-dir"][name] for name in setuptools["packages"]}
    folders = [folder.relative_to(ROOT).as_posix() for folder in package_folders()]
    assert mapped == {"secondlook." + folder.replace("/", "."): folder for folder in folders}
    assert set(setuptools["package-dir"]) == set(setuptools["packages"])


def test_the_namespace_has_no_init():
    assert not (ROOT / "__init__.py").exists()
    assert not (ROOT / "tests" / "__init__.py").exists()


@pytest.mark.parametrize("folder", ORDER)
def test_type_checkers_find_each_folder(folder):
    link = ROOT / "typings" / "secondlook" / folder
    assert link.is_symlink() and link.resolve() == ROOT / folder
    assert (ROOT / folder / "py.typed").exists()


def imported(path):
    """Yield the absolute names that a module of the package imports, at any depth."""
    package = ["secondlook", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


MODULES = sorted(path for folder in ORDER for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_run_only_to_the_left(path):
    own = ORDER.index(path.relative_to(ROOT).parts[0])
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] not in ("tests", *ORDER), f"{name}: imports are relative or by secondlook.*"
        if parts[0] == "secondlook" and len(parts) > 1 and parts[1] in ORDER:
            assert ORDER.index(parts[1]) <= own, f"{name} stands to the right"


def test_the_import_check_sees_relative_imports():
    names = set(imported(ROOT / "inference" / "reanalysis.py"))
    assert {"secondlook.data.audit", "secondlook.models.priors", "secondlook.inference.fitting"} <= names


def test_importing_the_records_and_the_audit_is_light():
    """Neither PyMC nor lifelines: `audit` must start in a moment."""
    code = "import sys; import secondlook.data.audit; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "secondlook.data.audit" in loaded
    assert not {"pymc", "pytensor", "lifelines", "arviz", "matplotlib"} & set(loaded)


def test_the_lock_holds_names_versions_and_hashes_only():
    entries = [entry.split() for entry in re.split(r"\n(?=\S)", LOCK.replace("\\\n", " ").strip())]
    assert len(entries) > 30
    for requirement, *rest in entries:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?==[0-9][^\s;@/]*", requirement), requirement
        hashes = [word for word in rest if word.startswith("--hash=")]
        assert hashes, f"{requirement} has no hash"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in hashes)
    assert "://" not in LOCK


def test_the_lock_covers_what_the_project_needs():
    groups = PROJECT["dependency-groups"]
    needed = [*PROJECT["project"]["dependencies"], *groups["test"], *groups["lint"]]
    names = {re.match(r"[A-Za-z0-9-]+", line).group().lower() for line in needed}
    locked = {match.lower() for match in re.findall(r"^([a-z0-9.-]+)==", LOCK, flags=re.MULTILINE)}
    assert names <= locked


@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock"])
def test_no_lock_with_addresses(name):
    assert not (ROOT / name).exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build from a copy, so that nothing is left in the checkout."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    names = [*ORDER, "pyproject.toml", "README.md", "LICENSE"]
    source.mkdir()
    subprocess.run(["cp", "-R", *(str(ROOT / name) for name in names), str(source)], check=True)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", place, source)
    (built,) = place.glob("*.whl")
    return built


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name for name in names if name.startswith("secondlook/")}
    expected = {f"secondlook/{path.relative_to(ROOT).as_posix()}" for path in MODULES}
    expected |= {f"secondlook/{folder}/py.typed" for folder in ORDER} | {"secondlook/data/template.toml"}
    trials = (path for path in (ROOT / "data" / "trials").iterdir() if path.suffix in (".toml", ".csv"))
    expected |= {f"secondlook/data/trials/{path.name}" for path in trials}
    assert inside == expected
    others = {name.split("/")[0] for name in set(names) - inside}
    assert len(others) == 1 and others.pop().endswith(".dist-info")


def test_an_installed_wheel_works_outside_the_checkout(wheel, tmp_path):
    """Into a directory of its own, dependencies borrowed from this environment, the checkout's paths left out."""
    target = tmp_path / "installed"
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel)
    code = """
import sys
from pathlib import Path
import secondlook.data
from secondlook.data.audit import audit

record = secondlook.data.load_record("mf07-01")
assert len(audit(record)) > 10
print(Path(secondlook.data.__file__).parents[1], record.id, *secondlook.data.built_in_trials())
"""
    # -S: no .pth files, so that the editable install of the checkout is out of reach
    site = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), *site])}
    run = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    place, *records = run.stdout.split()
    assert Path(place) == target / "secondlook"
    assert records[0] == "mf07-01"
    assert records[1:] == sorted(path.stem for path in (ROOT / "data" / "trials").glob("*.toml"))
    command = [sys.executable, "-S", str(target / "bin" / "secondlook"), "trials"]
    listed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    assert "mf07-01" in listed.stdout
