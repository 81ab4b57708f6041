"""Names that lead out of a folder, through a link, or into another meaning are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preflab import UserError
from preflab.composing.untrusted import check_name
from preflab.console import commands
from preflab.console.cli import main
from preflab.scaffold import names as plugin_names
from preflab_builtin.causal_lm.checking import check_index

PATHS = (
    *(
        "..",
        "../x",
        "../../x",
        "a/../b",
        "a/../../b",
        "/etc/passwd",
        "/",
        "//x",
        "./x",
        "a/./b",
        "a//b",
        "a/",
        ".hidden",
    ),
    *(
        "~",
        "~root/x",
        "$HOME",
        "a\\..\\b",
        "C:\\x",
        "\\\\host\\x",
        "a\0b",
        "a\nb",
        "a\rb",
        "a b",
        "",
        " ",
        "%2e%2e/x",
    ),
    *("..%2fx", "\u2025/x", "a\u202eb", "x" * 300, "a:b", "a|b", "a;rm -rf x", "`x`", "*"),
)


def test_there_are_enough_of_them() -> None:
    assert len(PATHS) >= 30


@pytest.mark.parametrize("name", PATHS)
def test_a_name_that_leads_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        check_name(name)
    with pytest.raises(UserError):
        plugin_names(name)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": f"{name}.safetensors"}}))
    if "/" in name:
        with pytest.raises(
            UserError, match=r"which is not a \*\.safetensors file in the same folder"
        ):
            check_index(index)
    else:  # an odd name, and yet one of a file in the folder
        check_index(index)
        assert (tmp_path / f"{name}.safetensors").parent == tmp_path


def test_ordinary_names_are_names() -> None:
    for name in ("config", "kl_versus_ptx", "mine/first-study", "v1.2"):
        check_name(name)


def test_a_config_from_outside_makes_no_folder_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "evil.yaml").write_text("defaults: [config, _self_]\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["--config-dir", "in", "-cn", "../evil", "debug=fast"])
    assert ended.value.code == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.yaml", "in"]


def test_removing_an_artifact_removes_nothing_else(tmp_path: Path) -> None:
    for name in ("precious", "artifacts/sft-2.partial"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "artifacts/sft-1.partial").symlink_to(
        tmp_path / "precious", target_is_directory=True
    )
    with pytest.raises(UserError, match=r"sft-1\.partial is a link to .*precious"):
        commands.artifacts(["prune", "--dir", str(tmp_path / "artifacts")])
    # What comes behind the link is removed all the same.
    assert not (tmp_path / "artifacts/sft-2.partial").exists()
    assert (tmp_path / "precious").is_dir()
