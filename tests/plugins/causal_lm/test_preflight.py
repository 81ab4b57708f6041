"""Models that are refused when the run knows its records and tokenizer: from the command line, with
exit code 2, before anything is computed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GraniteConfig

from end_to_end.runs import preflab
from preflab import UserError
from preflab.console import cli
from preflab.records import Demonstration, Document, Message, Prompt, Ranking
from preflab_builtin.causal_lm import preflight
from preflab_builtin.causal_lm.config import (
    LoraConfig,
    PretrainedConfig,
    TinyConfig,
    TokenizerKind,
)
from preflab_builtin.causal_lm.sources import FolderSource, TinySource
from support import WORDS, FakeContext, represented_by

EMBEDDING = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of 64 positions whose 258 tokens are bytes, a pad and an end."""
    folder = tmp_path_factory.mktemp("models") / "whole"
    sizes: dict[str, Any] = {"layers": 1, "width": 16, "heads": 2, "max_positions": 64}
    config = TinyConfig(tokenizer=TokenizerKind.bytes, **sizes)
    TinySource(config, None).create(torch.Generator().manual_seed(0)).save(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    shutil.copytree(whole, tmp_path / "model")
    return tmp_path / "model"


def edit(file: Path, **values: Any) -> None:
    content = {**json.loads(file.read_text()), **values} if file.exists() else values
    file.write_text(json.dumps(content))


def nan(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors[EMBEDDING][3, 5] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def add(folder: Path, token: str, special: bool) -> None:
    """One token more in the tokenizer, id 258: the model is not resized."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = {"id": 258, "content": token, "special": special, **flags}
    content["added_tokens"].append(added)
    file.write_text(json.dumps(content))


def pad_beyond(folder: Path) -> None:
    add(folder, "[PAD]", special=True)
    edit(folder / "tokenizer_config.json", pad_token="[PAD]")


def no_end(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", eos_token=None)
    edit(folder / "config.json", eos_token_id=None)
    (folder / "generation_config.json").unlink(missing_ok=True)


def several_templates(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    named = [{"name": name, "template": "{{ messages }}"} for name in ("rag", "tool_use")]
    edit(folder / "tokenizer_config.json", chat_template=named)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nan": (nan, rf"{EMBEDDING} of \d+ hold NaN or infinity.*earlier checkpoint"),
    "pad beyond": (pad_beyond, r"258 rows: '\[PAD\]' \(258\) is beyond it.*\(model\.resize_token"),
    "word beyond": (
        lambda f: add(f, "<tool>", special=False),
        r"ids up to 258, but the embedding has 258 rows: '<tool>' \(258\) is beyond it",
    ),
    "unknown end": (
        lambda f: edit(f / "generation_config.json", eos_token_id=4000),
        r"eos_token_id in generation_config\.json is 4000, which is no token",
    ),
    "no end": (no_end, r"the tokenizer has no end token\. Set eos_token in tokenizer_config\.json"),
    "unknown architecture": (
        lambda f: edit(f / "config.json", model_type="gpt9", auto_map={"AutoConfig": "a.B"}),
        r"'gpt9', which transformers [\d.]+ does not know, .*\(auto_map\)",
    ),
    "other shapes": (
        lambda f: edit(f / "config.json", intermediate_size=32),
        r"by config\.json model\.layers\.0\.mlp\.down_proj\.weight is \[16, 32\], but the weights",
    ),
    "no head": (
        lambda f: edit(f / "config.json", tie_word_embeddings=False),
        r"lacks the weights of the head \(lm_head\.weight\).*set it to true",
    ),
    "several templates": (
        several_templates,
        r"several chat templates \('rag', 'tool_use'\), none of them called 'default'",
    ),
    "damaged tokenizer": (
        lambda f: (f / "tokenizer.json").write_text("{}"),
        r"the tokenizer cannot be read",
    ),
}


def command(folder: Path, rows: Path) -> list[str]:
    """A run that would train and answer the prompts of a file."""
    rows.write_text("".join(json.dumps({"prompt": f"hello {i}"}) + "\n" for i in range(20)))
    words = ["data=files", f"data.prompts={rows}", "policy=pretrained", f"policy.path={folder}"]
    words += ["sft=none", "reward_model=length", "algorithm=ppo", "evaluation=samples"]
    return [*words, "debug=fast", "runtime.threads=1"]


def exit_code(words: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    return ended.value.code


@pytest.mark.slow
@pytest.mark.parametrize("case", represented_by(("nan", "pad beyond", "no end"), CASES))
def test_it_is_refused_before_any_work(
    case: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    break_it, message = CASES[case]
    break_it(folder)
    words = command(folder, tmp_path / "prompts.jsonl")
    for asked in (["plan", *words], words):
        assert exit_code(asked) == 2
        shown = capsys.readouterr().err
        assert "Traceback" not in shown
        with pytest.raises(UserError, match=message):
            raise UserError(shown)
    assert not list(Path("artifacts").glob("debug/*"))
    assert not list(Path("runs").rglob("summary.json"))


@pytest.mark.slow
def test_an_overlong_prompt_is_told_by_file_and_line_and_left_out_by_the_words(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """64 positions less a response of 8 tokens leave 56; the row has 60 bytes, a token each."""
    monkeypatch.chdir(tmp_path)
    words = [*command(folder, tmp_path / "prompts.jsonl"), "filters=none"]
    split = {"prompt": "x" * 60, "split": "train"}
    rows = [{"prompt": f"hello {i}", "split": "train" if i < 10 else "test"} for i in range(20)]
    lines = [json.dumps(row) for row in [*rows[:5], split, *rows[5:]]]
    Path("prompts.jsonl").write_text("\n".join(lines))
    assert exit_code(["plan", *words]) == 2
    shown = capsys.readouterr().err
    assert "1 of 11 prompts has more than 56 tokens" in shown
    assert "prompts.jsonl:6 (60 tokens)" in shown
    cure = [word.rstrip(".;") for word in shown.split() if "filters.fits" in word]
    assert cure == ["+filter@filters.fits=length", "filters.fits.max_tokens=56"]
    assert exit_code(["plan", *words, *cure]) == 0


@pytest.fixture
def granite(folder: Path) -> Path:
    """A model of an architecture of which transformers has no sequence classifier."""
    sizes: dict[str, Any] = {
        "vocab_size": 258,
        "hidden_size": 16,
        "intermediate_size": 32,
        "eos_token_id": 257,
    }
    heads: dict[str, Any] = {
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    config = GraniteConfig(**sizes, **heads, pad_token_id=256, max_position_embeddings=64)
    made: Any = AutoModelForCausalLM
    made.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_policy_that_can_be_no_reward_model_is_refused_if_one_is_needed(
    granite: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PPO has a value network; RLOO with a reward that is given has none."""
    monkeypatch.chdir(tmp_path)
    words = command(granite, tmp_path / "prompts.jsonl")
    assert exit_code(["plan", *words]) == 2
    shown = capsys.readouterr().err
    assert "no reward model and no value network can be made of this policy" in shown
    assert "GraniteConfig" in shown
    assert exit_code(["plan", *words, "algorithm=rloo"]) == 0
    assert exit_code(["plan", *words, "algorithm=none"]) == 0


def test_a_policy_that_can_be_a_reward_model_passes(folder: Path) -> None:
    FolderSource(folder).check_scalar()


def test_words_that_the_policy_does_not_know_are_looked_for_in_all_texts(tmp_path: Path) -> None:
    """A prompt of known words alone, and a response or a document of which a part is unknown."""
    good, config = Prompt("a", f"{WORDS[0]} {WORDS[1]}", split="train"), TinyConfig()
    assert not list(preflight.tiny(config, FakeContext(tmp_path, [good])))
    some, none = f"{WORDS[0]} {WORDS[1]} zyx", "zyx wvu"
    for kind, part, of in (
        ("demonstrations", "responses", lambda text: Demonstration(good, text)),
        ("rankings", "responses", lambda text: Ranking(good, (text, text), ((0, 1),))),
        ("documents", "documents", lambda text: Document("d", text, split="train")),
    ):
        (told,) = preflight.tiny(config, FakeContext(tmp_path, [of(some)]))
        assert told.startswith(f"{kind}: 1 of 3 words (33%) of the {part} that were looked at"), (
            kind
        )
        with pytest.raises(UserError, match=rf"{kind}: 2 of 2 words \(100%\) of the {part}"):
            list(preflight.tiny(config, FakeContext(tmp_path, [of(none)])))


@pytest.mark.slow
def test_a_learning_rate_that_ruins_the_model_is_told_before_any_work(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The model has some thousand weights: by GPT-3's table such a model is fine-tuned at about
    1e-3, and 1 is far above that. The words that are told mend it."""
    monkeypatch.chdir(tmp_path)
    words = [*command(folder, tmp_path / "prompts.jsonl"), "algorithm.policy.lr=1"]
    assert exit_code(["plan", *words]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "- algorithm.policy.lr=1: far above what is usual" in shown
    cure = shown.partition("Unless you want that: ")[2].split()[0]
    assert exit_code(["plan", *words, cure]) == 0
    assert "far above" not in capsys.readouterr().out
    assert preflab(tmp_path, *words, "algorithm.episodes=8") == 0
    lines = (tmp_path / "log.txt").read_text(encoding="utf8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("preflab: run "))
    assert lines[first + 1].startswith("preflab: algorithm.policy.lr=1: far above")


@pytest.mark.slow
def test_the_printed_command_trains_adapters_on_own_rankings_with_rates_that_suit_them(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The model has some thousand weights: the printed rates, which are for 7B, are told to be too
    low, and so are those of the presets; with the words that are told nothing is."""
    pytest.importorskip("peft", reason="the extra lora is not installed")
    monkeypatch.chdir(tmp_path)
    page = Path(preflight.__file__).with_name("README.md").read_text(encoding="utf8")
    (line,) = re.findall(r"^    preflab (data=files .*policy=lora.*)", page, re.MULTILINE)
    rows = [{"prompt": f"Greet {i}. ", "chosen": "Hello!", "rejected": "No."} for i in range(30)]
    Path("rankings.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path("documents.txt").write_text(
        "\n\n".join(f"Document {i}: " + "text " * 60 for i in range(30))
    )
    words = line.replace("FOLDER", str(folder)).split()
    small = ["algorithm.terms.ptx.window=16", "rollout.max_tokens=8"]  # the model has 64 positions
    given = [w for w in words if ".lr=" in w]
    assert len(given) == 3
    for rates in (given, []):
        asked = [*(w for w in words if w not in given), *rates, *small]
        assert exit_code(["plan", *asked]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "made for training all weights" in shown
        cure = (
            shown.partition("Here adapters")[2].partition("Unless you want that: ")[2].split()[:3]
        )
        assert {w.partition("=")[0] for w in cure} == {w.partition("=")[0] for w in given}
        assert exit_code(["plan", *asked, *cure]) == 0
        assert "made for training all weights" not in " ".join(capsys.readouterr().out.split())


def test_a_special_token_that_no_text_leads_to_is_only_mentioned(folder: Path) -> None:
    """As in gemma-3-1b, whose tokenizer has a token for images that its model does not."""
    add(folder, "<image>", special=True)
    context = FakeContext(folder.parent, source=FolderSource(folder))
    mentioned, facts = preflight.policy(PretrainedConfig(path=str(folder)), context)
    assert "'<image>' (258) is beyond it. No text leads to" in mentioned
    assert facts.startswith("Conversations are laid out by")


def test_a_model_is_described(folder: Path, tmp_path: Path) -> None:
    context = FakeContext(tmp_path, source=FolderSource(folder))
    (facts,) = preflight.policy(PretrainedConfig(path=str(folder)), context)
    assert "responses end at <eos>" in facts
    assert list(preflight.tiny(TinyConfig(), FakeContext(tmp_path))) == []
    config = TinyConfig(tokenizer=TokenizerKind.bytes)
    (told,) = preflight.tiny(config, FakeContext(tmp_path, vocabulary=None))
    assert "by the default chat template" in told


def test_weights_of_another_shape_are_refused_where_they_are_read(folder: Path) -> None:
    edit(folder / "config.json", intermediate_size=32)
    with pytest.raises(UserError, match=r"is \[16, 32\], but the weights have \[16, \d+\]"):
        FolderSource(folder).create(torch.Generator())


def notices(folder: Path, tmp_path: Path, *records: Any) -> list[str]:
    """What is said of a model before the first stage."""
    context = FakeContext(tmp_path, records, source=FolderSource(folder))
    return list(preflight.policy(PretrainedConfig(path=str(folder)), context))


def test_what_ends_nothing_here_is_stated(folder: Path, tmp_path: Path) -> None:
    edit(folder / "generation_config.json", stop_strings=["###"])
    said = notices(folder, tmp_path)
    assert any("stop_strings in generation_config.json ('###') do not end" in s for s in said)


def test_texts_for_a_model_with_a_chat_template_are_counted(folder: Path, tmp_path: Path) -> None:
    records = [
        Prompt("a", "hello", split="train"),
        Prompt("b", "transcript", split="train", messages=(Message("user", "hello"),)),
    ]
    assert not any("are texts" in s for s in notices(folder, tmp_path, *records))  # the default
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    said = notices(folder, tmp_path, *records)
    assert any("1 of 2 prompts are texts" in s and "data.template=chat" in s for s in said)


def test_a_template_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for m in messages }")
    tokenizer = FolderSource(folder).tokenizer
    with pytest.raises(UserError, match=r"chat template cannot be read.*Correct it"):
        tokenizer.encode_prompt(Prompt("p", "t", messages=(Message("user", "hello"),)))


@pytest.mark.slow
def test_a_policy_without_a_fast_path_is_not_compiled_in_silence(
    granite: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*command(granite, tmp_path / "prompts.jsonl"), "algorithm=rloo"]
    assert exit_code(["plan", *words, "runtime.compile=true"]) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert "there is no fast path for a granite with this config.json" in shown
    assert exit_code(["plan", *words]) == 0


def test_a_policy_with_a_fast_path_may_be_compiled_but_not_in_four_bits(folder: Path) -> None:
    source = FolderSource(folder)
    source.check_compile()
    source.lora = LoraConfig(rank=4, bits=4)
    with pytest.raises(UserError, match=r"nothing to compile with policy\.lora\.bits=4"):
        source.check_compile()
